"""The scheduler's rows and the cluster's possible answers."""

from dataclasses import dataclass
from uuid import UUID

from brightrun.contracts.events import JobQueued
from brightrun.contracts.training import JobError

Key = tuple[UUID, int]
"""Job and attempt: what identifies a run, here and on the cluster."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a job on a cluster. `fence` is the lease's number: a write with an older one changes nothing."""

    job: JobQueued
    attempt: int
    cluster: str
    fence: int
    state: str
    external_job_id: str | None

    @property
    def key(self) -> Key:
        """The run's identity."""
        return self.job.job_id, self.attempt


@dataclass(frozen=True, slots=True)
class Accepted:
    """The cluster has a run of the attempt, new or from an earlier submission."""

    external_job_id: str


@dataclass(frozen=True, slots=True)
class Busy:
    """The cluster has no GPUs free; nothing runs."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The attempt can never run as it is."""

    error: JobError


@dataclass(frozen=True, slots=True)
class Silent:
    """No usable answer: the cluster may have the run or not."""

    reason: str


Submission = Accepted | Busy | Rejected | Silent
