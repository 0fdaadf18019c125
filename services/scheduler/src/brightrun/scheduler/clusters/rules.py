"""What of a cluster can be used now, from its last report and from what was sent to it since."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from brightrun.contracts.cluster_api import Capabilities, Capacity
from brightrun.contracts.placement import ClusterSupply, GpuSupply
from brightrun.scheduler.clusters.models import ClusterReport, FreeGpus, GpuPool

UNLIMITED = 1 << 30
"""Free GPUs of a cluster that does not count them: it responds that it is busy."""

MAX_SILENCE = timedelta(seconds=15)
"""A cluster that was silent for so long gets no jobs."""


def pools_of(capabilities: Capabilities, capacity: Capacity | None) -> tuple[GpuPool, ...]:
    """A cluster's GPUs as it reports them."""
    types = frozenset(capabilities.gpu_types)
    if capacity is None:
        return (GpuPool(types or None, None, None, None),)
    if capacity.gpus:
        return tuple(GpuPool(frozenset([gpu.type]), gpu.total, gpu.free, gpu.total) for gpu in capacity.gpus)
    return (GpuPool(types, capacity.total_gpus, capacity.free_gpus, capacity.total_gpus),)


def remember_max_total(pools: Sequence[GpuPool], known: Sequence[GpuPool]) -> tuple[GpuPool, ...]:
    """`pools` with the most GPUs that each was ever known to have: a node that is down comes back."""
    before = {pool.types: pool.max_total or 0 for pool in known}
    return tuple(
        pool if pool.max_total is None else replace(pool, max_total=max(pool.max_total, before.get(pool.types, 0)))
        for pool in pools
    )


def free_gpus_of(reports: Iterable[ClusterReport]) -> list[FreeGpus]:
    """The GPUs of usable clusters."""
    return [_free_gpus(report, pool) for report in reports if report.usable for pool in report.pools or ()]


def _free_gpus(report: ClusterReport, pool: GpuPool) -> FreeGpus:
    free, said = _count_free(pool, report.taken), report.capabilities
    if said is None:
        return FreeGpus(report.name, pool.types, pool.total, free)
    limits = [count for gpu_type, count in said.max_gpus.items() if pool.types is None or gpu_type in pool.types]
    models = frozenset(said.base_models) if said.hub is False else None
    return FreeGpus(report.name, pool.types, pool.total, free, min(limits, default=None), models, said.inputs)


def _count_free(pool: GpuPool, taken: Mapping[str, int]) -> int:
    """GPUs that the cluster reported free, less those taken since."""
    if pool.free is None:
        return UNLIMITED
    used = sum(gpus for gpu_type, gpus in taken.items() if pool.types is None or gpu_type in pool.types)
    return max(pool.free - used, 0)


def supply_of(report: ClusterReport) -> ClusterSupply:
    """What the cluster can run some day: a node that is down comes back."""
    said = report.capabilities
    if said is None or report.pools is None:
        return ClusterSupply(name=report.name, available=False)
    return ClusterSupply(
        name=report.name,
        available=report.available,
        simulated=said.simulated,
        gpus=tuple(
            GpuSupply(
                type=gpu_type,
                total=pool.total,
                free=None if pool.free is None else _count_free(pool, report.taken),
                max_count=said.max_gpus.get(gpu_type or "", pool.max_total),
            )
            for pool in report.pools
            for gpu_type in sorted(pool.types or ()) or (None,)
        ),
        elastic=said.elastic,
        base_models=said.base_models,
        hub=said.hub,
        inputs=said.inputs,
    )


def can_pause(capabilities: Capabilities) -> bool:
    """Whether the cluster saves a run that it ends, and resumes from there with another."""
    return capabilities.resume and ("checkpoint" in capabilities.stop_modes or capabilities.graceful_stop)
