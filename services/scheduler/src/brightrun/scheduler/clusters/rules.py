"""What of a cluster can be used now, from its last report and from what was sent to it since."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from brightrun.contracts.cluster_api import Capabilities, Capacity
from brightrun.contracts.scheduling import ClusterCapacity, GpuLimit
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
    models = frozenset(said.base_models) if said.fetches_models is False else None
    return FreeGpus(report.name, pool.types, pool.total, free, _max_count(said, pool), models, said.inputs)


def _count_free(pool: GpuPool, taken: Mapping[str, int]) -> int:
    """GPUs that the cluster reported free, less those taken since."""
    if pool.free is None:
        return UNLIMITED
    used = sum(gpus for gpu_type, gpus in taken.items() if pool.types is None or gpu_type in pool.types)
    return max(pool.free - used, 0)


def capacity_of(report: ClusterReport) -> ClusterCapacity:
    """What the cluster can run some day: a node that is down comes back."""
    said = report.capabilities
    if said is None or report.pools is None:
        return ClusterCapacity(name=report.name, gpus=None, base_models=None, usable=False)
    knows_models = said.fetches_models is False or (said.fetches_models and said.base_models)
    return ClusterCapacity(
        name=report.name,
        gpus=[
            GpuLimit(
                types=None if pool.types is None else sorted(pool.types),
                free=pool.free,
                max_total=_max_count(said, pool) or pool.max_total,
            )
            for pool in report.pools
        ],
        base_models=list(said.base_models) if knows_models else None,
        fetches_models=bool(said.fetches_models),
        inputs=said.inputs,
        usable=report.available,
    )


def _max_count(said: Capabilities, pool: GpuPool) -> int | None:
    """The most of the pool's GPUs that a run can have, if the cluster says so."""
    return max((count for kind, count in said.max_gpus.items() if kind in (pool.types or ())), default=None)


def can_pause(capabilities: Capabilities) -> bool:
    """Whether the cluster saves a run that it ends, and resumes from there with another."""
    return capabilities.resume and ("checkpoint" in capabilities.stop_modes or capabilities.graceful_stop)
