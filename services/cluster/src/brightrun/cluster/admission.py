"""Whether the cluster takes a run: pure decisions, from what was asked for and what there is."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from brightrun.cluster.errors import DiskFull, MemoryShort, NoCapacity, NotNow, TooManyRuns, Unsupported
from brightrun.cluster.models import Hardware, Room
from brightrun.contracts.cluster_api import Capacity, GpuCapacity, SubmitRun


@dataclass(frozen=True, slots=True)
class Limits:
    """The least bytes of disk and memory to be left free, and the most live runs."""

    free_disk: int
    free_memory: int
    live_runs: int


def shortage(room: Room, limits: Limits) -> NotNow | None:
    """Why no trainer may be started now, whatever the GPUs."""
    if room.free_disk < limits.free_disk:
        return DiskFull({"free_bytes": room.free_disk, "needed_bytes": limits.free_disk})
    if room.free_memory is not None and room.free_memory < limits.free_memory:
        return MemoryShort({"free_bytes": room.free_memory, "needed_bytes": limits.free_memory})
    return None


def closed(room: Room, limits: Limits) -> NotNow | None:
    """Why no new run is taken now, whatever the GPUs."""
    if room.live_runs >= limits.live_runs:
        return TooManyRuns({"live_runs": room.live_runs})
    return shortage(room, limits)


def admit(
    request: SubmitRun, hardware: Hardware, taken: Collection[int], room: Room, limits: Limits
) -> tuple[int, ...]:
    """The devices that the run gets, `taken` being those of its type in use; raises why it gets none."""
    if problems := _problems(request, hardware):
        raise Unsupported(problems)
    if reason := closed(room, limits):
        raise reason
    gpu = request.gpu_config
    free = _free(hardware, gpu.type, len(taken))
    if free < gpu.count:
        raise NoCapacity({"free_gpus": free})
    devices = (device for device in range(hardware.gpus[gpu.type]) if device not in taken)
    return tuple(device for device, _ in zip(devices, range(gpu.count), strict=False))


def capacity(hardware: Hardware, taken: Mapping[str, int], reason: NotNow | None) -> Capacity:
    """GPUs in all and free, `taken` being how many of each type runs have; none is free while `reason` closes it."""
    gpus = tuple(
        GpuCapacity(type=kind, total=total, free=0 if reason else _free(hardware, kind, taken.get(kind, 0)))
        for kind, total in hardware.gpus.items()
    )
    return Capacity(total_gpus=sum(gpu.total for gpu in gpus), free_gpus=sum(gpu.free for gpu in gpus), gpus=gpus)


def _free(hardware: Hardware, kind: str, taken: int) -> int:
    return max(0, hardware.gpus[kind] - hardware.lent.get(kind, 0) - taken)


def _problems(request: SubmitRun, hardware: Hardware) -> dict[str, list[str]]:
    problems: dict[str, list[str]] = {}
    gpu, base_model = request.gpu_config, request.hyperparameters.base_model
    if gpu.type not in hardware.gpus:
        problems["gpu_config.type"] = [f"this cluster has {', '.join(hardware.gpus)}"]
    elif not hardware.elastic and gpu.count > hardware.gpus[gpu.type]:
        problems["gpu_config.count"] = [f"this cluster has {hardware.gpus[gpu.type]}"]
    if hardware.base_models is not None and base_model not in hardware.base_models:
        problems["hyperparameters.base_model"] = [f"this cluster has {', '.join(hardware.base_models) or 'none'}"]
    return problems
