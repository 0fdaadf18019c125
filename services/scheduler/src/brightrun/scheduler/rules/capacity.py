"""What of a cluster can be used now, from what it last said and from what was sent to it since."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from brightrun.contracts.cluster_api import Capabilities, Capacity
from brightrun.scheduler.models import ClusterReport, Pool
from brightrun.scheduler.rules.fairness import Room

ENDLESS = 1 << 30
"""Free GPUs of a cluster that does not count them: it says when it is full."""


def pools_of(capabilities: Capabilities, capacity: Capacity | None) -> tuple[Pool, ...]:
    """A cluster's GPUs as it reports them."""
    types = frozenset(capabilities.gpu_types)
    if capacity is None:
        return (Pool(types or None, None, None, None),)
    if capacity.gpus:
        return tuple(Pool(frozenset([gpu.type]), gpu.total, gpu.free, gpu.total) for gpu in capacity.gpus)
    return (Pool(types, capacity.total_gpus, capacity.free_gpus, capacity.total_gpus),)


def remember_largest(pools: Sequence[Pool], known: Sequence[Pool]) -> tuple[Pool, ...]:
    """`pools` with the most that each was ever known to have: a node that is down comes back."""
    largest = {pool.types: pool.largest for pool in known}
    return tuple(replace(pool, largest=_most(pool.largest, largest.get(pool.types))) for pool in pools)


def _most(now: int | None, before: int | None) -> int | None:
    return None if now is None else max(now, before or 0)


def rooms_of(reports: Iterable[ClusterReport]) -> list[Room]:
    """Where something could run now."""
    return [
        Room(report.name, pool.types, pool.total, free_of(pool, report.taken))
        for report in reports
        if report.usable
        for pool in report.pools or ()
    ]


def free_of(pool: Pool, taken: Mapping[str, int]) -> int:
    """GPUs that the cluster reported free, less those taken since."""
    if pool.free is None:
        return ENDLESS
    gone = sum(gpus for gpu_type, gpus in taken.items() if pool.types is None or gpu_type in pool.types)
    return max(pool.free - gone, 0)


def can_never_run(reports: Sequence[ClusterReport], gpu_type: str, gpus: int) -> bool:
    """Whether no cluster there is, up or down, has ever had what the job needs. False while one is unknown."""
    if not reports or any(report.pools is None for report in reports):
        return False
    return not any(
        (pool.types is None or gpu_type in pool.types) and (pool.largest is None or gpus <= pool.largest)
        for report in reports
        for pool in report.pools or ()
    )
