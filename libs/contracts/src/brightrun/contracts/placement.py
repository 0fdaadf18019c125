"""What clusters can run, by their last reports: the scheduler places by it, the api rejects at submission by it."""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from brightrun.contracts.scheduling import ClusterCapacity
from brightrun.contracts.training import is_model_name

Lack = Literal["gpu_type", "gpu_count", "base_model", "inputs"]


class Needs(NamedTuple):
    """What a job needs of a cluster. `inputs`: a validation data set of its own, or an adapter to start from."""

    gpu_type: str
    gpus: int
    base_model: str
    inputs: bool


def find_lacks(clusters: Sequence[ClusterCapacity], needs: Needs) -> dict[Lack, str]:
    """Why no cluster can ever run the job: what the nearest one lacks, with messages. Empty if one can, or may."""
    if not clusters:
        return {}
    lacks = [_lacks(cluster, needs) for cluster in clusters]
    nearest = min(lacks, key=lambda lack: (len(lack), "gpu_type" in lack, "gpu_count" in lack))
    with_gpus = [cluster for cluster, lack in zip(clusters, lacks, strict=True) if not lack & {"gpu_type", "gpu_count"}]
    return {lack: _message(lack, clusters, with_gpus, needs) for lack in sorted(nearest)}


def has_model(cluster: ClusterCapacity, base_model: str) -> bool:
    """Whether the cluster has the base model, may fetch it, or does not say."""
    if not is_model_name(base_model):
        return False
    if cluster.base_models is None or base_model in cluster.base_models:
        return True
    return cluster.fetches_models and "/" in base_model


def max_gpus(cluster: ClusterCapacity, gpu_type: str) -> int | None:
    """The most GPUs of the type that a job can ever have there; None: as many as it accepts, or unknown."""
    if cluster.gpus is None:
        return None
    sizes = [pool.max_total for pool in cluster.gpus if pool.types is None or gpu_type in pool.types]
    return None if None in sizes else max((size for size in sizes if size is not None), default=0)


def _lacks(cluster: ClusterCapacity, needs: Needs) -> set[Lack]:
    """What the cluster will never have; what is unknown does not count."""
    lacks: set[Lack] = set()
    most = max_gpus(cluster, needs.gpu_type)
    if most is not None and most < needs.gpus:
        lacks.add("gpu_count" if most else "gpu_type")
    if not has_model(cluster, needs.base_model):
        lacks.add("base_model")
    if needs.inputs and not cluster.inputs:
        lacks.add("inputs")
    return lacks


def _message(
    lack: Lack, clusters: Sequence[ClusterCapacity], with_gpus: Sequence[ClusterCapacity], needs: Needs
) -> str:
    match lack:
        case "gpu_type":
            types = _listed(kind for cluster in clusters for pool in cluster.gpus or () for kind in pool.types or ())
            return f"no cluster has {needs.gpu_type}: there are {types}"
        case "gpu_count":
            most = max(max_gpus(cluster, needs.gpu_type) or 0 for cluster in clusters)
            return f"no cluster has more than {most} × {needs.gpu_type}"
        case "base_model":
            models = _listed(model for cluster in with_gpus or clusters for model in cluster.base_models or ())
            return f"no cluster with these GPUs has {needs.base_model}: there are {models}"
        case "inputs":
            return "no cluster with these GPUs accepts a validation data set or an adapter to start from"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(set(names))) or "none"
