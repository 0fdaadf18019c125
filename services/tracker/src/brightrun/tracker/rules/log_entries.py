"""What an event adds to the log and to the ledger of its job."""

from collections.abc import Iterable
from typing import Any, TypeAlias

from brightrun.contracts.events import (
    ArtifactReady,
    BudgetReached,
    DurationReached,
    JobAttemptLost,
    JobCompleted,
    JobEvent,
    JobFinishRequested,
    JobPaused,
    JobPauseRequested,
    JobProgress,
    JobQueued,
    JobRefused,
    JobResumeRequested,
    JobStarted,
    Segment,
)
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import JobError
from brightrun.tracker.models import Cost, Entry, Level

LoggedEvent: TypeAlias = (
    JobQueued
    | JobRefused
    | JobStarted
    | JobAttemptLost
    | BudgetReached
    | DurationReached
    | JobFinishRequested
    | JobPauseRequested
    | JobPaused
    | JobResumeRequested
    | JobCompleted
    | ArtifactReady
)


def entry_of(event: LoggedEvent) -> Entry:
    """The log entry of an event."""
    data: dict[str, Any]
    match event:
        case JobQueued():
            message = f'Queued to train on "{event.dataset.name}" with {event.gpu.count}x {event.gpu.type}.'
            data = {
                "training_pairs": event.dataset.training_pairs,
                "estimated_cost": float(event.estimated_cost),
            }
            entry = _entry(event, "queued", "queued", message, data)
        case JobRefused():
            data = {"dataset_id": str(event.dataset_id), "error": event.error.model_dump(mode="json")}
            entry = _entry(event, "refused", JobStatus.FAILED.value, event.error.message, data, "error")
        case JobStarted():
            message = f"Attempt {event.attempt} was taken by the cluster {event.cluster}."
            data = event.model_dump(include={"attempt", "cluster", "external_job_id"})
            entry = _entry(event, f"started:{event.attempt}", "started", message, data)
        case JobAttemptLost():
            next_attempt = "another goes on from its last checkpoint" if event.resumes else "another begins anew"
            message = f"Attempt {event.attempt} is lost and not billed; {next_attempt}. {event.error.message}"
            data = event.model_dump(mode="json", include={"attempt", "cluster", "error"})
            entry = _entry(event, f"lost:{event.attempt}", "attempt_lost", message, data, "warn")
        case BudgetReached():
            message = f"The job has cost ${event.spent:.2f} of at most ${event.cap:.2f}; it saves and stops."
            data = {"cap": float(event.cap), "spent": float(event.spent)}
            entry = _entry(event, f"budget_reached:{event.event_id}", "budget_reached", message, data, "warn")
        case DurationReached():
            message = f"The job has trained for {event.trained:.0f} s of at most {event.cap:.0f} s; it saves and stops."
            data = {"cap": round(event.cap), "trained": round(event.trained)}
            entry = _entry(event, f"duration_reached:{event.event_id}", "duration_reached", message, data, "warn")
        case JobFinishRequested():
            message = "Finishing, as you asked: it trains no further and delivers what it has."
            entry = _entry(event, "finish_requested", "finish_requested", message, {})
        case JobPauseRequested():
            message = "Pausing, as you asked: it saves a checkpoint and then gives its GPUs back."
            entry = _entry(event, f"pause_requested:{event.turn}", "pause_requested", message, {})
        case JobPaused():
            message = f"Paused at step {event.step}, as you asked; it holds no GPUs now."
            data = {"attempt": event.attempt, "step": event.step, "reason": "user"}
            entry = _entry(event, f"paused:{event.attempt}", "paused", message, data)
        case JobResumeRequested():
            entry = _entry(event, f"resumed:{event.turn}", "resumed", "Resumed: it waits for GPUs again.", {})
        case JobCompleted():
            level, message = _outcome(event)
            data = event.model_dump(
                mode="json", include={"attempt", "trained_tokens", "error", "stopped_by", "resumable_until"}
            )
            entry = _entry(event, "completed", event.outcome.value, message + _kept(event), data, level)
        case ArtifactReady():
            message = f"The model is stored and verified: {len(event.files)} files."
            data = {"artifact_id": str(event.artifact_id), "quality_score": event.quality.score}
            entry = _entry(event, "artifact_ready", "artifact_ready", message, data)
    return entry


def _entry(  # noqa: PLR0917 - as an Entry has them
    event: JobEvent, source: str, type_: str, message: str, data: dict[str, Any], level: Level = "info"
) -> Entry:
    return Entry(event.job_id, source, type_, message, data, event.occurred_at, level, _follows(event))


def _follows(event: JobEvent) -> str | None:
    """The source of the entry that must be in the log before: an attempt starts before anything else happens to it."""
    match event:
        case JobQueued() | JobRefused():
            return None
        case JobProgress(attempt=attempt):
            return f"started:{attempt}"
        case JobPaused(attempt=attempt, started_at=started_at) if started_at:
            return f"started:{attempt}"
        case JobCompleted(attempt=attempt, external_job_id=run) if run:
            return f"started:{attempt}"
        case ArtifactReady():
            return "completed"
        case _:
            return "queued"


LIMITS = {"budget": "its budget", "duration": "its duration", "user": "you"}
"""What ended a job early → as its log says it."""


def _outcome(event: JobCompleted) -> tuple[Level, str]:
    match event.outcome:
        case JobStatus.COMPLETED if event.stopped_by:
            by = LIMITS.get(event.stopped_by, event.stopped_by)
            return "warn", f"Training was ended early by {by}, after {event.trained_tokens} tokens."
        case JobStatus.COMPLETED:
            return "info", f"Training is complete after {event.trained_tokens} tokens."
        case JobStatus.CANCELLED if event.stopped_by:
            by = LIMITS.get(event.stopped_by, event.stopped_by)
            return "warn", f"The job was stopped by {by}; its cluster could not deliver early."
        case JobStatus.CANCELLED:
            return "warn", "The job was cancelled."
        case JobStatus.FAILED:
            return "error", _failure(event.error) if event.error else "The job failed; the cluster gave no reason."


def _failure(error: JobError) -> str:
    return f"{error.message} {error.advice}" if error.advice else error.message


def _kept(event: JobCompleted) -> str:
    until = event.resumable_until
    return f" A retry can go on from its last checkpoint until {until:%Y-%m-%d %H:%M} UTC." if until else ""


def stages_of(events: Iterable[JobProgress]) -> list[Entry]:
    """An entry for each stage of an attempt, from the first of `events` in it."""
    entries: dict[tuple[object, str], Entry] = {}
    for event in events:
        source = f"stage:{event.attempt}:{event.stage}"
        message = f"Attempt {event.attempt} entered the stage {event.stage}."
        data = event.model_dump(include={"attempt", "stage", "step"})
        entries.setdefault((event.job_id, source), _entry(event, source, "stage_changed", message, data))
    return list(entries.values())


METRICS_PER_ATTEMPT = 50
MEASURED = ("training_loss", "token_accuracy", "validation_loss", "validation_token_accuracy", "learning_rate")


def metrics_of(events: Iterable[JobProgress]) -> list[Entry]:
    """Entries with what was measured: METRICS_PER_ATTEMPT at most, evenly over the steps of an attempt."""
    entries: dict[tuple[object, str], Entry] = {}
    for event in events:
        for point in event.points if event.total_steps else ():
            source = f"metrics:{event.attempt}:{point.step * METRICS_PER_ATTEMPT // event.total_steps}"
            measured = point.model_dump(include=set(MEASURED), exclude_none=True)
            data = {"attempt": event.attempt, "step": point.step, "total_steps": event.total_steps, **measured}
            losses = [
                f"{name} loss {loss:.4g}"
                for name, loss in (("training", point.training_loss), ("validation", point.validation_loss))
                if loss is not None
            ]
            message = f"Step {point.step} of {event.total_steps}: {', '.join(losses)}."
            if losses:
                entries.setdefault((event.job_id, source), _entry(event, source, "metrics", message, data))
    return list(entries.values())


def costs_of(event: LoggedEvent) -> list[Cost]:
    """What an event adds to the ledger: compute when an attempt has ended, storage once the model is stored.

    An end includes the attempts before it; costs that are in the ledger already are not entered again.
    """
    match event:
        case JobPaused() | JobCompleted():
            return [_compute(event, segment) for segment in event.billed]
        case ArtifactReady():
            return [_storage(event)]
        case _:
            return []


def _compute(event: JobPaused | JobCompleted, segment: Segment) -> Cost:
    return Cost(
        job_id=event.job_id,
        user_id=event.user_id,
        attempt=segment.attempt,
        cost_type="compute",
        amount=event.pricing.compute_cost(segment.started_at, segment.finished_at),
        recorded_at=event.occurred_at,
        details={
            "hourly_rate": float(event.pricing.hourly_rate),
            "started_at": segment.started_at.isoformat(),
            "finished_at": segment.finished_at.isoformat(),
            "gpu": event.gpu.model_dump(mode="json"),
        },
    )


def _storage(event: ArtifactReady) -> Cost:
    return Cost(
        job_id=event.job_id,
        user_id=event.user_id,
        attempt=0,
        cost_type="storage",
        amount=event.pricing.storage,
        recorded_at=event.occurred_at,
        details={"artifact_id": str(event.artifact_id), "bytes": sum(file.size for file in event.files)},
    )
