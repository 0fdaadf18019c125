"""What becomes of a job when an attempt of it has ended."""

from dataclasses import dataclass
from typing import Literal

from brightrun.contracts.cluster_api import RunStatus
from brightrun.contracts.job_status import JobStatus
from brightrun.scheduler.models import Wishes
from brightrun.scheduler.rules import retries

Outcome = Literal[JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED]


@dataclass(frozen=True, slots=True)
class Over:
    """The job has its one terminal status; `stopped_by`: the limit that ended it."""

    outcome: Outcome
    stopped_by: str | None = None


@dataclass(frozen=True, slots=True)
class Paused:
    """The job waits for its user."""


@dataclass(frozen=True, slots=True)
class Again:
    """The job waits for its next attempt."""


Fate = Over | Paused | Again


def is_lost(run: RunStatus) -> bool:
    """Whether the infrastructure is to blame for a failure: then it is not billed, and tried again."""
    return run.status == "failed" and run.error is not None and run.error.retryable


def fate(run: RunStatus, wishes: Wishes, most_attempts: int) -> Fate:
    """What becomes of the job of a run that is over.

    A run that completes has completed, whatever was wished meanwhile. A run that was cancelled by nobody we know of was
    stopped on the cluster.
    """
    match run.status:
        case "completed":
            return Over(JobStatus.COMPLETED, wishes.limit if run.stopped_early else None)
        case "cancelled":
            return _stopped(wishes)
        case _ if not is_lost(run):
            return Over(JobStatus.FAILED)
    if wishes.cancelled:
        return Over(JobStatus.CANCELLED)
    if wishes.paused:
        return Paused()
    return Again() if retries.may_lose_another(wishes.losses, most_attempts) else Over(JobStatus.FAILED)


def _stopped(wishes: Wishes) -> Fate:
    if wishes.cancelled:
        return Over(JobStatus.CANCELLED)
    if wishes.limit:
        return Over(JobStatus.CANCELLED, wishes.limit)
    if wishes.paused:
        return Paused()
    pause_withdrawn = wishes.sent is not None
    return Again() if pause_withdrawn else Over(JobStatus.CANCELLED)
