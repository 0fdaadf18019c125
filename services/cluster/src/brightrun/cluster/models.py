"""The values that all subjects share: a run, what the machines have, and what is left of this one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from brightrun.contracts.cluster_api import ClusterFile, RunStatus, SubmitRun
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import JobError
from brightrun.contracts.values import Value


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a cluster can run: GPUs by type, and its base models (None: any).

    `used_by_others` are GPUs that do not work for this service. `max_gpus`: the most that a run can have, where known.
    """

    gpus: Mapping[str, int]
    base_models: tuple[str, ...] | None
    simulated: bool
    used_by_others: Mapping[str, int] = field(default_factory=dict)
    max_gpus: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FreeResources:
    """Free disk and memory in bytes (None: trainers use the memory of other machines), and the number of live runs."""

    free_disk: int
    free_memory: int | None
    live_runs: int


@dataclass(frozen=True, slots=True)
class ResourceLimits:
    """The bytes of disk and memory that must stay free, and the maximum number of live runs."""

    free_disk: int
    free_memory: int
    live_runs: int


class Run(Value):
    """A run as it stands. `devices` are the indices of its GPUs among those of their type.

    `seq` counts its events, `offset` is how many bytes of the trainer's output are in them, `launches` how many
    trainers it has had, `restarts` how many of them were lost. `interrupted`: its trainer was stopped because the
    service stops. `cancelling`: it saves and stops, `pausing` for another run to go on. `adopts`: the run whose
    checkpoints it starts from. `last_exit`: why its last trainer died without a report.
    """

    request: SubmitRun
    status: RunStatus
    devices: tuple[int, ...]
    simulated: bool
    seq: int = 0
    offset: int = 0
    launches: int = 0
    restarts: int = 0
    cancelling: bool = False
    pausing: bool = False
    finishing: bool = False
    interrupted: bool = False
    adopts: str | None = None
    last_exit: JobError | None = None
    files: tuple[ClusterFile, ...] = ()
    metadata: dict[str, Any] = Field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.status.external_job_id

    @property
    def finished(self) -> bool:
        """Whether the run has reached its one terminal state."""
        return JobStatus(self.status.status).terminal

    @property
    def launched(self) -> bool:
        return self.launches > 0 or self.status.started_at is not None
