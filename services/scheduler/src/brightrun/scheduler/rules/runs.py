"""What a page of a cluster's stream means for our attempts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from brightrun.contracts.cluster_api import RunEvent, RunStatus
from brightrun.contracts.events import JobProgress
from brightrun.contracts.job_status import JobStatus
from brightrun.scheduler.models import Attempt, Key, Watched
from brightrun.scheduler.rules import limits

MAX_ETA_SECONDS = 10 * 365 * 86_400
"""What is longer is no estimate."""


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


def accepted_by(events: Sequence[RunEvent], attempts: Mapping[Key, Attempt]) -> list[tuple[Attempt, str]]:
    """Our attempts that the cluster turns out to have though its answer was not written down, with its ids of them."""
    runs = {_key(event.run): event.run for event in events}
    return [
        (attempts[key], run.external_job_id)
        for key, run in runs.items()
        if key in attempts and attempts[key].state in ("submitting", "given_back")
    ]


def ends_of(events: Sequence[RunEvent], attempts: Mapping[Key, Attempt]) -> list[tuple[Attempt, RunStatus]]:
    """Our attempts that are over, with their last state."""
    return [
        (attempts[_key(event.run)], event.run) for event in events if _over(event.run) and _key(event.run) in attempts
    ]


def notes_of(events: Sequence[RunEvent], watched: Mapping[Key, Watched], now: datetime) -> list[Watched]:
    """What the events add to what is known of our runs, where it is worth being written down."""
    last = {_key(event.run): event for event in events if not _over(event.run)}
    noted = [(watched[key], _note(watched[key], event, now)) for key, event in last.items() if key in watched]
    return [after for before, after in noted if _worth_noting(before, after)]


def _note(known: Watched, event: RunEvent, now: datetime) -> Watched:
    run = event.run
    return replace(
        known,
        started_at=run.started_at or known.started_at,
        saved_step=known.saved_step if run.last_checkpoint_step is None else run.last_checkpoint_step,
        checkpoint_seconds=known.checkpoint_seconds if run.checkpoint_seconds is None else run.checkpoint_seconds,
        expected_end=_expected_end(event) or known.expected_end,
        stop_at=_stop_at(known, event, now) or known.stop_at,
    )


def _expected_end(event: RunEvent) -> datetime | None:
    eta = event.run.eta_seconds
    return event.at + timedelta(seconds=eta) if eta is not None and 0 <= eta < MAX_ETA_SECONDS else None


def _stop_at(known: Watched, event: RunEvent, now: datetime) -> datetime | None:
    """By our clock, whatever the cluster's shows: how long the run has trained is the difference of its own times."""
    run = event.run
    if known.allowance is None or run.started_at is None:
        return None
    trained = max((event.at - run.started_at).total_seconds(), 0.0)
    step_seconds = trained / run.current_step if run.current_step else 0.0
    return now + limits.stop_in(known.allowance.seconds, trained, run.checkpoint_seconds, step_seconds)


def _worth_noting(before: Watched, after: Watched) -> bool:
    return (
        after.started_at != before.started_at
        or after.saved_step != before.saved_step
        or _differ(after.expected_end, before.expected_end, 30.0)
        or _differ(after.stop_at, before.stop_at, 0.5)
    )


def _differ(one: datetime | None, other: datetime | None, seconds: float) -> bool:
    if one is None or other is None:
        return one is not other
    return abs((one - other).total_seconds()) > seconds


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
        user_id=attempt.user_id,
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
