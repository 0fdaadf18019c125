"""The scheduler's decisions."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from brightrun.contracts.cluster_api import RunEvent, RunStatus
from brightrun.contracts.events import JobProgress
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import JobError
from brightrun.scheduler.models import Attempt, Key

MAX_ATTEMPTS = 3
SUBMISSION_BUDGET = timedelta(seconds=12)
LEASE = timedelta(seconds=15)
"""Longer than a submission may take, so that a second holder appears only when the first is gone."""

BUSY_PAUSE = timedelta(seconds=2)
SILENT_PAUSE = timedelta(seconds=2)
CANCEL_REPEAT = timedelta(seconds=5)
"""A cancellation is sent again while the cluster has not reported the end; it is idempotent."""


def retry_pause(attempt: int) -> timedelta:
    """How long the attempt after `attempt` waits: 5 s, 20 s, 80 s …"""
    return timedelta(seconds=5 * 4 ** (attempt - 1))


def to_be_retried(attempt: Attempt, run: RunStatus) -> bool:
    """Whether a failed run was the infrastructure's fault and the job has attempts left."""
    lost = run.status == "failed" and run.error is not None and run.error.retryable
    return lost and attempt.attempt < MAX_ATTEMPTS


def error_of(run: RunStatus) -> JobError | None:
    """Why the run failed; the original's clusters give a sentence only."""
    if run.error is None and run.error_message:
        return JobError(code="run_failed", message=run.error_message)
    return run.error


def keys_of(events: Sequence[RunEvent]) -> set[Key]:
    """The runs that the events tell of."""
    return {_key(event.run) for event in events}


def progress_of(events: Sequence[RunEvent], attempts: Mapping[Key, Attempt]) -> list[JobProgress]:
    """What the events say of our attempts' progress; what an end still measured and saved counts as progress too."""
    return [
        _progress(event, attempts[_key(event.run)])
        for event in events
        if _key(event.run) in attempts and (event.points or event.checkpoints or not _over(event.run))
    ]


def accepted_by(events: Sequence[RunEvent], attempts: Mapping[Key, Attempt]) -> list[tuple[Attempt, RunStatus]]:
    """Our attempts that the cluster turns out to have though its answer was not written down, once each."""
    runs = {_key(event.run): event.run for event in events}
    return [
        (attempts[key], run)
        for key, run in runs.items()
        if key in attempts and attempts[key].state in ("submitting", "given_back")
    ]


def ends_of(events: Sequence[RunEvent], attempts: Mapping[Key, Attempt]) -> list[tuple[Attempt, RunStatus]]:
    """Our attempts that are over, with their last state."""
    return [
        (attempts[_key(event.run)], event.run) for event in events if _over(event.run) and _key(event.run) in attempts
    ]


def _key(run: RunStatus) -> Key:
    return run.job_id, run.attempt


def _over(run: RunStatus) -> bool:
    return JobStatus(run.status).terminal


def _progress(event: RunEvent, attempt: Attempt) -> JobProgress:
    run = event.run
    started = run.status not in ("queued", "initializing")
    return JobProgress(
        event_id=event.event_id,
        occurred_at=event.at,
        job_id=run.job_id,
        user_id=attempt.job.user_id,
        attempt=run.attempt,
        seq=event.seq,
        status=JobStatus.RUNNING if started else JobStatus.INITIALIZING,
        stage=run.stage,
        percent=run.progress,
        step=run.current_step,
        total_steps=run.total_steps,
        epoch=run.current_epoch,
        total_epochs=run.total_epochs,
        trained_tokens=run.trained_tokens,
        eta_seconds=run.eta_seconds,
        started_at=run.started_at,
        points=event.points,
        checkpoints=event.checkpoints,
    )
