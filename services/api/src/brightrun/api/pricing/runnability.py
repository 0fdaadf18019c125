"""What the configured clusters can ever run, by their last reports.

A cluster that never answered may have anything, and so may all while the scheduler does not answer: then nothing is
refused, and jobs wait.
"""

from collections.abc import Sequence
from typing import Literal

from brightrun.contracts.scheduling import ClusterCapacity
from brightrun.contracts.training import GpuConfig

Availability = Literal["now", "later", "never"]
Problems = dict[str, list[str]]


def problems(gpu: GpuConfig, base_model: str, clusters: Sequence[ClusterCapacity] | None) -> Problems:
    """Why no cluster can ever run the job, by the request's paths; `clusters` None: unknown."""
    if not clusters or any(_holds(cluster, gpu) and _has_model(cluster, base_model) for cluster in clusters):
        return {}
    found: Problems = {}
    with_type = [cluster for cluster in clusters if _most(cluster, gpu.type) != 0]
    with_gpus = [cluster for cluster in clusters if _holds(cluster, gpu)]
    if not with_type:
        found["gpu_config.type"] = [f"no cluster has {gpu.type}: there are {_names(_types(clusters))}"]
    elif not with_gpus:
        most = max(_most(cluster, gpu.type) or 0 for cluster in with_type)
        found["gpu_config.count"] = [f"no cluster has more than {most} × {gpu.type}"]
    if not any(_has_model(cluster, base_model) for cluster in with_gpus or clusters):
        known = {model for cluster in with_gpus or clusters for model in cluster.base_models or ()}
        found["hyperparameters.base_model"] = [
            f"no cluster with these GPUs has {base_model}: there are {_names(known)}"
        ]
    return found


def availability_of_gpu(gpu_type: str, clusters: Sequence[ClusterCapacity] | None) -> Availability:
    """When a job with one GPU of the type could start, if nothing else waited."""
    if not clusters:
        return "later"
    having = [cluster for cluster in clusters if _holds(cluster, GpuConfig(type=gpu_type))]
    if any(cluster.usable and _free(cluster, gpu_type) != 0 for cluster in having):
        return "now"
    return "later" if having else "never"


def availability_of_model(base_model: str, clusters: Sequence[ClusterCapacity] | None) -> Availability:
    """Whether a cluster that answers has the base model, one that is away, or none."""
    if not clusters:
        return "later"
    having = [cluster for cluster in clusters if _has_model(cluster, base_model)]
    if any(cluster.usable for cluster in having):
        return "now"
    return "later" if having else "never"


def _holds(cluster: ClusterCapacity, gpu: GpuConfig) -> bool:
    most = _most(cluster, gpu.type)
    return most is None or most >= gpu.count or (cluster.elastic and most > 0)


def _most(cluster: ClusterCapacity, gpu_type: str) -> int | None:
    """The most GPUs of the type that the cluster ever had; None: as many as it accepts, or unknown."""
    if cluster.gpus is None:
        return None
    sizes = [pool.max_total for pool in cluster.gpus if pool.types is None or gpu_type in pool.types]
    return None if None in sizes else max((size for size in sizes if size is not None), default=0)


def _free(cluster: ClusterCapacity, gpu_type: str) -> int | None:
    sizes = [pool.free for pool in cluster.gpus or () if pool.types is None or gpu_type in pool.types]
    return None if None in sizes else max((size for size in sizes if size is not None), default=0)


def _has_model(cluster: ClusterCapacity, base_model: str) -> bool:
    if cluster.base_models is None or base_model in cluster.base_models:
        return True
    return cluster.fetches_models and "/" in base_model


def _types(clusters: Sequence[ClusterCapacity]) -> set[str]:
    return {gpu_type for cluster in clusters for pool in cluster.gpus or () for gpu_type in pool.types or ()}


def _names(found: set[str]) -> str:
    return ", ".join(sorted(found)) or "none"
