"""What becomes of a job when an attempt of it has ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from brightrun.contracts.cluster_api import RunStatus
from brightrun.contracts.events import JobQueued, Segment
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import UNEXPLAINED, JobError
from brightrun.scheduler.lifecycle.models import StopRequests
from brightrun.scheduler.limits.rules import billed_until

RETRY_SECONDS = 5
RETRY_BACKOFF = 4

GONE = JobError(
    code="run_gone",
    message="The cluster does not know the training any more.",
    advice="Try the job again.",
    retryable=True,
)
SILENT = JobError(
    code="cluster_silent",
    message="The cluster has not answered for too long.",
    advice="Try the job again.",
    retryable=True,
)

TerminalStatus = Literal[JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED]


@dataclass(frozen=True, slots=True)
class Complete:
    """The job gets its one terminal status; `stopped_by`: what ended it early."""

    status: TerminalStatus
    stopped_by: str | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """The job waits for its user."""


@dataclass(frozen=True, slots=True)
class Retry:
    """The job waits for its next attempt."""


Outcome = Complete | Pause | Retry


def is_lost(run: RunStatus) -> bool:
    """Whether the infrastructure caused the failure: the run is not billed, and the job is tried again."""
    return run.status == "failed" and run.error is not None and run.error.retryable


def decide_outcome(run: RunStatus, requests: StopRequests, max_attempts: int) -> Outcome:
    """What becomes of the job of a run that is over.

    A completed run completes its job, whatever was requested meanwhile. A run that nobody here cancelled was stopped
    on the cluster.
    """
    match run.status:
        case "completed":
            return Complete(JobStatus.COMPLETED, _stopped_by(requests) if run.stopped_early else None)
        case "cancelled":
            return _stopped(requests)
        case _ if not is_lost(run):
            return Complete(JobStatus.FAILED)
    if requests.cancelled:
        return Complete(JobStatus.CANCELLED)
    if requests.paused:
        return Pause()
    final = is_permanent(run, requests) or requests.lost_attempts + 1 >= max_attempts
    return Complete(JobStatus.FAILED) if final else Retry()


def is_permanent(run: RunStatus, requests: StopRequests) -> bool:
    """Whether an error that nobody can explain has come back: the next attempt would fail in the same way."""
    return requests.repeated and run.error is not None and run.error.code in UNEXPLAINED


def _stopped(requests: StopRequests) -> Outcome:
    if requests.cancelled:
        return Complete(JobStatus.CANCELLED)
    if requests.limit or (requests.finishing and requests.sent == "finish"):
        return Complete(JobStatus.CANCELLED, _stopped_by(requests))
    if requests.paused:
        return Pause()
    pause_withdrawn = requests.sent is not None
    return Retry() if pause_withdrawn else Complete(JobStatus.CANCELLED)


def _stopped_by(requests: StopRequests) -> str | None:
    return requests.limit or ("user" if requests.finishing else None)


def retry_pause(lost_attempts: int) -> timedelta:
    """The pause before the next attempt after so many were lost: 5 s, 20 s, 80 s …"""
    return timedelta(seconds=RETRY_SECONDS * RETRY_BACKOFF ** (lost_attempts - 1))


def error_of(run: RunStatus) -> JobError | None:
    """Why the run failed; clusters that speak the original's API give a sentence only."""
    if run.error is None and run.error_message:
        return JobError(code="run_failed", message=run.error_message)
    return run.error


def final_error(run: RunStatus, requests: StopRequests) -> JobError | None:
    """Why the job failed with this run."""
    error = error_of(run)
    if error is None or not is_permanent(run, requests):
        return error
    advice = f"It failed twice in the same way at step {run.current_step:,}: give the run's log to the operator."
    return error.model_copy(update={"advice": advice, "retryable": False})


def billed_segment(job: JobQueued, before: Sequence[Segment], run: RunStatus, now: datetime) -> Segment | None:
    """What of the run is billed, after the segments `before` it."""
    if run.started_at is None or is_lost(run):
        return None
    released_at = max(run.finished_at or now, run.started_at)
    end = billed_until(job, before, run.started_at, released_at)
    return Segment(
        attempt=run.attempt,
        started_at=run.started_at,
        finished_at=end,
        released_at=released_at if released_at > end else None,
    )
