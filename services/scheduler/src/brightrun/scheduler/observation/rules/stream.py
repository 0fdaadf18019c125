"""What a page of a cluster's stream means for our attempts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from brightrun.contracts.cluster_api import RunEvent, RunStatus
from brightrun.contracts.events import JobProgress
from brightrun.contracts.job_status import JobStatus
from brightrun.scheduler.limits.rules import stop_in
from brightrun.scheduler.models import Attempt, Key
from brightrun.scheduler.observation.models import ObservedRun
from brightrun.scheduler.states import ACCEPT_ATTEMPT

MAX_ETA_SECONDS = 10 * 365 * 86_400
"""A longer estimate is ignored."""


def keys_of(events: Sequence[RunEvent]) -> set[Key]:
    """The runs of the events."""
    return {_key(event.run) for event in events}


def progress_of(events: Sequence[RunEvent], attempts: Mapping[Key, Attempt]) -> list[JobProgress]:
    """Our attempts' progress; an end that still reports points or checkpoints counts as progress too."""
    return [
        _progress(event, attempts[_key(event.run)])
        for event in events
        if _key(event.run) in attempts and (event.points or event.checkpoints or not _over(event.run))
    ]


def accepted_by(events: Sequence[RunEvent], attempts: Mapping[Key, Attempt]) -> list[tuple[Attempt, str]]:
    """Our attempts that the cluster has though its response was not applied, with its ids of them."""
    runs = {_key(event.run): event.run for event in events}
    return [
        (attempts[key], run.external_job_id)
        for key, run in runs.items()
        if key in attempts and attempts[key].state in ACCEPT_ATTEMPT.sources
    ]


def ended_by(events: Sequence[RunEvent], attempts: Mapping[Key, Attempt]) -> list[tuple[Attempt, RunStatus]]:
    """Our attempts that are over, with their last statuses."""
    return [
        (attempts[_key(event.run)], event.run) for event in events if _over(event.run) and _key(event.run) in attempts
    ]


def updates_of(events: Sequence[RunEvent], runs: Mapping[Key, ObservedRun], now: datetime) -> list[ObservedRun]:
    """Our runs after the events, where the difference is worth being saved."""
    last = {_key(event.run): event for event in events if not _over(event.run)}
    updated = [(runs[key], _update(runs[key], event, now)) for key, event in last.items() if key in runs]
    return [after for before, after in updated if _differ(before, after)]


def _update(known: ObservedRun, event: RunEvent, now: datetime) -> ObservedRun:
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


def _stop_at(known: ObservedRun, event: RunEvent, now: datetime) -> datetime | None:
    """By our clock: how long the run has trained is the difference of two times of the cluster's clock."""
    run = event.run
    if known.allowance is None or run.started_at is None:
        return None
    trained = max((event.at - run.started_at).total_seconds(), 0.0)
    step_seconds = trained / run.current_step if run.current_step else 0.0
    return now + stop_in(known.allowance.seconds, trained, run.checkpoint_seconds, step_seconds)


def _differ(before: ObservedRun, after: ObservedRun) -> bool:
    return (
        after.started_at != before.started_at
        or after.saved_step != before.saved_step
        or _apart(after.expected_end, before.expected_end, 30.0)
        or _apart(after.stop_at, before.stop_at, 0.5)
    )


def _apart(first: datetime | None, second: datetime | None, seconds: float) -> bool:
    if first is None or second is None:
        return first is not second
    return abs((first - second).total_seconds()) > seconds


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
