"""What the cluster remembers of a run."""

from dataclasses import dataclass
from typing import Any

from pydantic import Field

from brightrun.contracts.cluster_api import ClusterFile, RunStatus, SubmitRun
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.values import Value


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a cluster can run: `slots` GPUs of one type, and its base models (None: any)."""

    gpu_type: str
    slots: int
    base_models: tuple[str, ...] | None
    simulated: bool


class Run(Value):
    """A run as it stands. `devices` are the indices of its GPUs.

    `seq` counts its events, `offset` is how many bytes of the trainer's output are in them, `restarts` how often its
    trainer was lost. `interrupted`: its trainer was stopped on purpose, not because the run shall end.
    """

    request: SubmitRun
    status: RunStatus
    devices: tuple[int, ...]
    simulated: bool
    seq: int = 0
    offset: int = 0
    restarts: int = 0
    cancelling: bool = False
    interrupted: bool = False
    files: tuple[ClusterFile, ...] = ()
    metadata: dict[str, Any] = Field(default_factory=dict)

    @property
    def id(self) -> str:
        """The external job id."""
        return self.status.external_job_id

    @property
    def finished(self) -> bool:
        """Whether the run has reached its one terminal state."""
        return JobStatus(self.status.status).terminal
