"""What of a cluster can be used now, from its last report and from what was sent to it since."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from brightrun.contracts.cluster_api import Capabilities, Capacity
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
    return [
        FreeGpus(report.name, pool.types, pool.total, _count_free(pool, report.taken))
        for report in reports
        if report.usable
        for pool in report.pools or ()
    ]


def _count_free(pool: GpuPool, taken: Mapping[str, int]) -> int:
    """GPUs that the cluster reported free, less those taken since."""
    if pool.free is None:
        return UNLIMITED
    used = sum(gpus for gpu_type, gpus in taken.items() if pool.types is None or gpu_type in pool.types)
    return max(pool.free - used, 0)


def can_never_run(reports: Sequence[ClusterReport], gpu_type: str, gpus: int) -> bool:
    """Whether no cluster there is, up or down, has ever had what the job needs. False while one is unknown.

    An elastic cluster that has had one of the GPUs may get enough.
    """
    if not reports or any(report.pools is None for report in reports):
        return False
    return not any(
        FreeGpus(report.name, pool.types, pool.max_total, 0).can_hold(gpu_type, 1 if report.elastic else gpus)
        for report in reports
        for pool in report.pools or ()
    )


def can_pause(capabilities: Capabilities) -> bool:
    """Whether the cluster saves a run that it ends, and resumes from there with another."""
    return capabilities.resume and ("checkpoint" in capabilities.stop_modes or capabilities.graceful_stop)
