"""Clusters and their GPUs."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GpuPool:
    """Interchangeable GPUs of a cluster.

    `types` None: of any type. `total` and `free` None: as many as it accepts. `max_total`: the most that it ever had.
    """

    types: frozenset[str] | None
    total: int | None
    free: int | None
    max_total: int | None


@dataclass(frozen=True, slots=True)
class FreeGpus:
    """GPUs of a cluster that can be used now. `types` None: of any type; `total` None: unknown."""

    cluster: str
    types: frozenset[str] | None
    total: int | None
    free: int

    def can_hold(self, gpu_type: str, gpus: int) -> bool:
        """Whether so many fit when nothing else runs."""
        return (self.types is None or gpu_type in self.types) and (self.total is None or gpus <= self.total)


@dataclass(frozen=True, slots=True)
class ClusterReport:
    """What is known of a cluster's GPUs. `pools` is None before its first response.

    `taken`: GPUs by type that it has not counted yet. `usable`: it answers, is not drained, and has not just been full.
    `elastic`: it may get more GPUs than it ever had.
    """

    name: str
    pools: tuple[GpuPool, ...] | None
    taken: Mapping[str, int]
    usable: bool
    elastic: bool = False
