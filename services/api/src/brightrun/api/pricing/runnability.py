"""What the configured clusters can ever run, by their last reports.

A cluster that never answered may have anything, and so may all while the scheduler does not answer: then nothing is
refused, and jobs wait.
"""

from collections.abc import Sequence
from typing import Literal

from brightrun.contracts.placement import Lack, Needs, find_lacks, has_model, max_gpus
from brightrun.contracts.scheduling import ClusterCapacity
from brightrun.contracts.training import GpuConfig

Availability = Literal["now", "later", "never"]
Problems = dict[str, list[str]]


PATHS: dict[Lack, str] = {
    "gpu_type": "gpu_config.type",
    "gpu_count": "gpu_config.count",
    "base_model": "hyperparameters.base_model",
    "inputs": "hyperparameters",
}


def problems(
    gpu: GpuConfig, base_model: str, clusters: Sequence[ClusterCapacity] | None, *, inputs: bool = False
) -> Problems:
    """Why no cluster can ever run the job, by the request's paths; `clusters` None: unknown.

    `inputs`: it has a validation data set of its own, or starts from an adapter.
    """
    lacks = find_lacks(clusters or (), Needs(gpu.type, gpu.count, base_model, inputs))
    return {PATHS[lack]: [message] for lack, message in lacks.items()}


def availability_of_gpu(gpu_type: str, clusters: Sequence[ClusterCapacity] | None) -> Availability:
    """When a job with one GPU of the type could start, if nothing else waited."""
    if not clusters:
        return "later"
    having = [cluster for cluster in clusters if max_gpus(cluster, gpu_type) != 0]
    if any(cluster.usable and _free(cluster, gpu_type) != 0 for cluster in having):
        return "now"
    return "later" if having else "never"


def availability_of_model(base_model: str, clusters: Sequence[ClusterCapacity] | None) -> Availability:
    """Whether a cluster that answers has the base model, one that is away, or none."""
    if not clusters:
        return "later"
    having = [cluster for cluster in clusters if has_model(cluster, base_model)]
    if any(cluster.usable for cluster in having):
        return "now"
    return "later" if having else "never"


def _free(cluster: ClusterCapacity, gpu_type: str) -> int | None:
    sizes = [pool.free for pool in cluster.gpus or () if pool.types is None or gpu_type in pool.types]
    return None if None in sizes else max((size for size in sizes if size is not None), default=0)
