"""Whether the cluster takes a run: pure decisions, from the request and what is free."""

from collections.abc import Mapping

from brightrun.cluster.errors import DiskFull, MemoryShort, NoCapacity, NotNow, TooManyRuns, Unsupported
from brightrun.cluster.models import FreeResources, Hardware, ResourceLimits
from brightrun.contracts.cluster_api import Capacity, GpuCapacity, SubmitRun


def shortage(free: FreeResources, limits: ResourceLimits) -> NotNow | None:
    """Why no trainer may be started now, whatever the GPUs."""
    if free.free_disk < limits.free_disk:
        return DiskFull({"free_bytes": free.free_disk, "needed_bytes": limits.free_disk})
    if free.free_memory is not None and free.free_memory < limits.free_memory:
        return MemoryShort({"free_bytes": free.free_memory, "needed_bytes": limits.free_memory})
    return None


def rejection(free: FreeResources, limits: ResourceLimits) -> NotNow | None:
    """Why no new run is taken now, whatever the GPUs."""
    if free.live_runs >= limits.live_runs:
        return TooManyRuns({"live_runs": free.live_runs})
    return shortage(free, limits)


def admit(request: SubmitRun, hardware: Hardware, leased: int, free: FreeResources, limits: ResourceLimits) -> None:
    """Raises why the run gets no GPUs, `leased` being how many of its type runs have."""
    if problems := _problems(request, hardware):
        raise Unsupported(problems)
    if reason := rejection(free, limits):
        raise reason
    gpu = request.gpu_config
    free_gpus = _free_gpus(hardware, gpu.type, leased)
    if free_gpus < gpu.count:
        raise NoCapacity({"free_gpus": free_gpus})


def capacity(hardware: Hardware, leased: Mapping[str, int], reason: NotNow | None) -> Capacity:
    """GPUs in all and free, `leased` being how many of each type runs have; none is free while there is a `reason`."""
    gpus = tuple(
        GpuCapacity(type=kind, total=total, free=0 if reason else _free_gpus(hardware, kind, leased.get(kind, 0)))
        for kind, total in hardware.gpus.items()
    )
    return Capacity(total_gpus=sum(gpu.total for gpu in gpus), free_gpus=sum(gpu.free for gpu in gpus), gpus=gpus)


def _free_gpus(hardware: Hardware, kind: str, leased: int) -> int:
    return max(0, hardware.gpus[kind] - hardware.used_by_others.get(kind, 0) - leased)


def _problems(request: SubmitRun, hardware: Hardware) -> dict[str, list[str]]:
    problems: dict[str, list[str]] = {}
    gpu, base_model = request.gpu_config, request.hyperparameters.base_model
    if gpu.type not in hardware.gpus:
        problems["gpu_config.type"] = [f"this cluster has {', '.join(hardware.gpus)}"]
    elif gpu.count > hardware.max_gpus.get(gpu.type, gpu.count):
        problems["gpu_config.count"] = [f"this cluster has {hardware.max_gpus[gpu.type]}"]
    if hardware.base_models is not None and base_model not in hardware.base_models:
        problems["hyperparameters.base_model"] = [f"this cluster has {', '.join(hardware.base_models) or 'none'}"]
    return problems
