"""What a fact says in the event log, and what it costs."""

from collections.abc import Iterable
from typing import TypeAlias

from brightrun.contracts.events import (
    ArtifactReady,
    BudgetReached,
    DurationReached,
    JobAttemptLost,
    JobCompleted,
    JobPaused,
    JobProgress,
    JobQueued,
    JobRefused,
    JobResumeRequested,
    JobStarted,
    Segment,
)
from brightrun.contracts.job_status import JobStatus
from brightrun.tracker.models import Cost, Entry, Level

Fact: TypeAlias = (
    JobQueued
    | JobRefused
    | JobStarted
    | JobAttemptLost
    | BudgetReached
    | DurationReached
    | JobPaused
    | JobResumeRequested
    | JobCompleted
    | ArtifactReady
)


def entry_of(fact: Fact) -> Entry:
    """The line of the event log that tells of `fact`."""
    match fact:
        case JobQueued():
            entry = _queued(fact)
        case JobRefused():
            entry = _refused(fact)
        case JobStarted():
            entry = _started(fact)
        case JobAttemptLost():
            entry = _lost(fact)
        case BudgetReached() | DurationReached():
            entry = _limited(fact)
        case JobPaused():
            entry = _paused(fact)
        case JobResumeRequested():
            entry = _resumed(fact)
        case JobCompleted():
            entry = _completed(fact)
        case ArtifactReady():
            entry = _artifact_ready(fact)
    return entry


def _queued(fact: JobQueued) -> Entry:
    return Entry(
        job_id=fact.job_id,
        source="queued",
        type="queued",
        message=f'Queued to train on "{fact.dataset.name}" with {fact.gpu.count}x {fact.gpu.type}.',
        data={"training_pairs": fact.dataset.training_pairs, "estimated_cost": f"{fact.estimated_cost:.4f}"},
        occurred_at=fact.occurred_at,
    )


def _refused(fact: JobRefused) -> Entry:
    return Entry(
        job_id=fact.job_id,
        source="refused",
        type=JobStatus.FAILED.value,
        level="error",
        message=fact.error.message,
        data={"dataset_id": str(fact.dataset_id), "error": fact.error.model_dump(mode="json")},
        occurred_at=fact.occurred_at,
    )


def _started(fact: JobStarted) -> Entry:
    return Entry(
        job_id=fact.job_id,
        source=f"started:{fact.attempt}",
        type="started",
        message=f"Attempt {fact.attempt} was taken by the cluster {fact.cluster}.",
        data={"attempt": fact.attempt, "cluster": fact.cluster, "external_job_id": fact.external_job_id},
        occurred_at=fact.occurred_at,
    )


def _lost(fact: JobAttemptLost) -> Entry:
    then = "another goes on from its last checkpoint" if fact.resumes else "another begins anew"
    return Entry(
        job_id=fact.job_id,
        source=f"lost:{fact.attempt}",
        type="attempt_lost",
        level="warn",
        message=f"Attempt {fact.attempt} is lost and not billed; {then}. {fact.error.message}",
        data={"attempt": fact.attempt, "cluster": fact.cluster, "error": fact.error.model_dump(mode="json")},
        occurred_at=fact.occurred_at,
    )


def _limited(fact: BudgetReached | DurationReached) -> Entry:
    if isinstance(fact, BudgetReached):
        type_, told = "budget_reached", {"cap": f"{fact.cap:.4f}", "spent": f"{fact.spent:.4f}"}
        message = f"The job has cost ${fact.spent:.2f} of at most ${fact.cap:.2f}; it saves and stops."
    else:
        type_, told = "duration_reached", {"cap": f"{fact.cap:.0f}", "trained": f"{fact.trained:.0f}"}
        message = f"The job has trained for {fact.trained:.0f} s of at most {fact.cap:.0f} s; it saves and stops."
    return Entry(
        job_id=fact.job_id,
        source=f"{type_}:{fact.event_id}",
        type=type_,
        level="warn",
        message=message,
        data=told,
        occurred_at=fact.occurred_at,
    )


def _paused(fact: JobPaused) -> Entry:
    return Entry(
        job_id=fact.job_id,
        source=f"paused:{fact.attempt}",
        type="paused",
        message=f"Paused at step {fact.step}, as you asked; it holds no GPUs now.",
        data={"attempt": fact.attempt, "step": fact.step, "reason": "user"},
        occurred_at=fact.occurred_at,
    )


def _resumed(fact: JobResumeRequested) -> Entry:
    return Entry(
        job_id=fact.job_id,
        source=f"resumed:{fact.turn}",
        type="resumed",
        message="Resumed: it waits for GPUs again.",
        data={},
        occurred_at=fact.occurred_at,
    )


def _completed(fact: JobCompleted) -> Entry:
    level, message = _ending(fact)
    return Entry(
        job_id=fact.job_id,
        source="completed",
        type=fact.outcome.value,
        level=level,
        message=message,
        data={
            "attempt": fact.attempt,
            "trained_tokens": fact.trained_tokens,
            "error": fact.error and fact.error.model_dump(mode="json"),
            "stopped_by": fact.stopped_by,
        },
        occurred_at=fact.occurred_at,
    )


def _ending(fact: JobCompleted) -> tuple[Level, str]:
    match fact.outcome:
        case JobStatus.COMPLETED if fact.stopped_by:
            return "warn", f"Training was ended early by its {fact.stopped_by}, after {fact.trained_tokens} tokens."
        case JobStatus.COMPLETED:
            return "info", f"Training is complete after {fact.trained_tokens} tokens."
        case JobStatus.CANCELLED if fact.stopped_by:
            return "warn", f"The job was stopped by its {fact.stopped_by}; its cluster could not deliver early."
        case JobStatus.CANCELLED:
            return "warn", "The job was cancelled."
        case JobStatus.FAILED:
            return "error", fact.error.message if fact.error else "The job failed; the cluster gave no reason."


def _artifact_ready(fact: ArtifactReady) -> Entry:
    return Entry(
        job_id=fact.job_id,
        source="artifact_ready",
        type="artifact_ready",
        message=f"The model is stored and verified: {len(fact.files)} files.",
        data={"artifact_id": str(fact.artifact_id), "quality_score": fact.quality.score},
        occurred_at=fact.occurred_at,
    )


def stages_of(events: Iterable[JobProgress]) -> list[Entry]:
    """An entry for each stage of an attempt, told by the first of `events` that is in it."""
    entries: dict[tuple[object, str], Entry] = {}
    for event in events:
        source = f"stage:{event.attempt}:{event.stage}"
        entries.setdefault(
            (event.job_id, source),
            Entry(
                job_id=event.job_id,
                source=source,
                type="stage_changed",
                message=f"Attempt {event.attempt} entered the stage {event.stage}.",
                data={"attempt": event.attempt, "stage": event.stage, "step": event.step},
                occurred_at=event.occurred_at,
            ),
        )
    return list(entries.values())


def costs_of(fact: Fact) -> list[Cost]:
    """What `fact` adds to the ledger: compute when an attempt has ended for its job, storage once its model is stored.

    An end tells of the attempts before it too; what is in the ledger already is not entered again.
    """
    match fact:
        case JobPaused() | JobCompleted():
            return [_compute(fact, segment) for segment in fact.billed]
        case ArtifactReady():
            return [_storage(fact)]
        case _:
            return []


def _compute(fact: JobPaused | JobCompleted, segment: Segment) -> Cost:
    return Cost(
        job_id=fact.job_id,
        user_id=fact.user_id,
        attempt=segment.attempt,
        cost_type="compute",
        amount=fact.pricing.compute_cost(segment.started_at, segment.finished_at),
        recorded_at=fact.occurred_at,
        details={
            "hourly_rate": f"{fact.pricing.hourly_rate:.4f}",
            "started_at": segment.started_at.isoformat(),
            "finished_at": segment.finished_at.isoformat(),
            "gpu": fact.gpu.model_dump(mode="json"),
        },
    )


def _storage(fact: ArtifactReady) -> Cost:
    return Cost(
        job_id=fact.job_id,
        user_id=fact.user_id,
        attempt=0,
        cost_type="storage",
        amount=fact.pricing.storage,
        recorded_at=fact.occurred_at,
        details={"artifact_id": str(fact.artifact_id), "bytes": sum(file.size for file in fact.files)},
    )
