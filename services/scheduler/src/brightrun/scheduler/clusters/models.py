"""Clusters and their GPUs."""

from collections.abc import Mapping
from dataclasses import dataclass

from brightrun.contracts.cluster_api import Capabilities
from brightrun.contracts.placement import Needs


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
    """GPUs of a cluster that can be used now. `types` None: of any type; `total` None: unknown.

    `max_count`: the most that a run can have, if less. `base_models` None: any. `inputs`: runs may have some.
    """

    cluster: str
    types: frozenset[str] | None
    total: int | None
    free: int
    max_count: int | None = None
    base_models: frozenset[str] | None = None
    inputs: bool = True

    def can_hold(self, needs: Needs) -> bool:
        """Whether a job fits when nothing else runs."""
        return (
            (self.types is None or needs.gpu_type in self.types)
            and all(most is None or needs.gpus <= most for most in (self.total, self.max_count))
            and (self.base_models is None or needs.base_model in self.base_models)
            and (self.inputs or not needs.inputs)
        )


@dataclass(frozen=True, slots=True)
class ClusterReport:
    """What is known of a cluster. `pools` and `capabilities` are None before its first response.

    `taken`: GPUs by type that it has not counted yet. `available`: it answers and is not drained. `usable`: it has not
    just been full either.
    """

    name: str
    pools: tuple[GpuPool, ...] | None
    taken: Mapping[str, int]
    usable: bool
    available: bool = True
    capabilities: Capabilities | None = None
