"""What a fact says in the event log, and what it costs."""

from collections.abc import Iterable
from typing import TypeAlias

from brightrun.contracts.events import ArtifactReady, JobCompleted, JobProgress, JobQueued, JobRefused, JobStarted
from brightrun.contracts.job_status import JobStatus
from brightrun.tracker.models import Cost, Entry, Level

Fact: TypeAlias = JobQueued | JobRefused | JobStarted | JobCompleted | ArtifactReady


def entry_of(fact: Fact) -> Entry:
    """The line of the event log that tells of `fact`."""
    match fact:
        case JobQueued():
            return _queued(fact)
        case JobRefused():
            return _refused(fact)
        case JobStarted():
            return _started(fact)
        case JobCompleted():
            return _completed(fact)
        case ArtifactReady():
            return _artifact_ready(fact)


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
        },
        occurred_at=fact.occurred_at,
    )


def _ending(fact: JobCompleted) -> tuple[Level, str]:
    match fact.outcome:
        case JobStatus.COMPLETED:
            return "info", f"Training is complete after {fact.trained_tokens} tokens."
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


def cost_of(fact: Fact) -> Cost | None:
    """What `fact` adds to the ledger: compute once the job is over, storage once its model is stored."""
    match fact:
        case JobCompleted(started_at=started_at) if started_at is not None:
            return Cost(
                job_id=fact.job_id,
                user_id=fact.user_id,
                attempt=fact.attempt,
                cost_type="compute",
                amount=fact.pricing.compute_cost(started_at, fact.finished_at),
                recorded_at=fact.occurred_at,
                details={
                    "hourly_rate": f"{fact.pricing.hourly_rate:.4f}",
                    "started_at": started_at.isoformat(),
                    "finished_at": fact.finished_at.isoformat(),
                    "gpu": fact.gpu.model_dump(mode="json"),
                },
            )
        case ArtifactReady():
            return Cost(
                job_id=fact.job_id,
                user_id=fact.user_id,
                attempt=0,
                cost_type="storage",
                amount=fact.pricing.storage,
                recorded_at=fact.occurred_at,
                details={"artifact_id": str(fact.artifact_id), "bytes": sum(file.size for file in fact.files)},
            )
        case _:
            return None
