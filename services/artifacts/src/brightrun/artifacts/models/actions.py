"""Models: expected, evaluated, stored, deleted."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from brightrun.artifacts.deletions.queries import schedule_deletion
from brightrun.artifacts.keys import MODELS, model_prefix
from brightrun.artifacts.models import queries
from brightrun.artifacts.models.models import Model, QualityMetrics
from brightrun.artifacts.models.rules import quality
from brightrun.artifacts.models.rules.files import read_comparison, read_report, retry_pause
from brightrun.contracts.checkpoints import CheckpointCopy
from brightrun.contracts.errors import ModelNotStored, TooManyCopies
from brightrun.contracts.events import ArtifactFile, ArtifactReady, JobCompleted, JobProgress, Quality
from brightrun.contracts.values import new_id, to_money
from brightrun.runtime import outbox
from brightrun.runtime.database import Connection, Pool
from brightrun.runtime.errors import NotFound, ServiceError
from brightrun.runtime.notify import notify

MAX_PROBLEM_LENGTH = 500
MAX_PENDING_COPIES = 5
"""Of one user."""


async def find_model(pool: Pool, user_id: UUID, model_id: UUID) -> Model:
    """The user's model. Raises NotFound."""
    model = await queries.find_model(pool, user_id, model_id)
    if model is None:
        raise NotFound
    return model


async def find_stored_model(pool: Pool, user_id: UUID, model_id: UUID) -> Model:
    """The user's model. Raises NotFound, and ModelNotStored until its files are stored."""
    model = await find_model(pool, user_id, model_id)
    if model.status != "stored":
        raise ModelNotStored({"status": model.status, "problem": model.problem})
    return model


async def expect_model(conn: Connection, job: JobCompleted) -> None:
    """Record the model of a completed job, once, and wake its transfer."""
    await queries.insert_model(
        conn,
        new_id(),
        job,
        name=f"{job.dataset.name} · {job.finished_at:%Y-%m-%d}",
        started_at=min((segment.started_at for segment in job.billed), default=job.finished_at),
        trained_seconds=sum(segment.seconds for segment in job.billed),
        cost=to_money(job.pricing.total(job.billed) + job.pricing.storage),
    )
    await notify(conn, "transfer")


async def request_copy(conn: Connection, user_id: UUID, model_id: UUID, copy: CheckpointCopy) -> None:
    """Have the checkpoint copied, unless it is or will be, and wake the transfer. Raises TooManyCopies."""
    if await queries.lock_model(conn, user_id, model_id) in ("pending", "stored"):
        return
    if await queries.count_pending_copies(conn, user_id) >= MAX_PENDING_COPIES:
        raise TooManyCopies({"limit": MAX_PENDING_COPIES})
    await queries.insert_copy(conn, model_id, user_id, copy)
    await notify(conn, "transfer")


async def follow_curves(conn: Connection, events: Sequence[JobProgress]) -> None:
    """Extend each job's curve by the events that are newer than what it is known up to."""
    by_job: dict[UUID, list[JobProgress]] = defaultdict(list)
    for event in events:
        if event.points:
            by_job[event.job_id].append(event)
    for job_id in sorted(by_job):
        curve, known = await queries.lock_curve(conn, job_id)
        for event in sorted(by_job[job_id], key=lambda event: (event.attempt, event.seq)):
            if (event.attempt, event.seq) > known:
                curve, known = quality.extend(curve, event.points), (event.attempt, event.seq)
        await queries.save_curve(conn, job_id, curve, known)


async def finish_transfer(
    conn: Connection, model: Model, files: Sequence[ArtifactFile], metadata: Mapping[str, Any]
) -> bool:
    """Mark the model as stored, evaluate it and publish that; False, and nothing is changed, if the lease was lost.

    The copy of a checkpoint is neither evaluated nor published.
    """
    if model.step is not None:
        stored = await queries.save_stored(conn, model.lease)
        if stored:
            await queries.insert_files(conn, model.id, files)
        return stored
    curve = await queries.find_curve(conn, model.job_id)
    verdict = quality.evaluate(curve, read_comparison(metadata), pairs=model.spec.method == "dpo")
    if not await queries.save_stored(conn, model.lease, curve, verdict):
        return False
    await queries.insert_files(conn, model.id, files)
    await queries.insert_report(conn, model.id, read_report(metadata))
    event = ArtifactReady(
        job_id=model.job_id,
        user_id=model.user_id,
        artifact_id=model.id,
        name=model.name,
        dataset_name=model.dataset.name,
        files=tuple(files),
        quality=_summarize(verdict),
        pricing=model.pricing,
    )
    await outbox.add(conn, event)
    return True


async def record_problem(
    conn: Connection, model: Model, error: Exception, max_tries: int, first_pause: timedelta
) -> None:
    """Retry a failed transfer later, or fail it after `max_tries`; the reason is kept for the user."""
    status = "failed" if model.tries >= max_tries else "pending"
    message = error.message if isinstance(error, ServiceError) else str(error) or type(error).__name__
    problem = message.replace("\0", "")[:MAX_PROBLEM_LENGTH]
    await queries.save_problem(conn, model.lease, status, problem, retry_pause(model.tries, first_pause))


async def delete_model(conn: Connection, user_id: UUID, model_id: UUID) -> None:
    """Delete the user's model, and schedule the deletion of its objects. Raises NotFound, ModelNotStored."""
    status = await queries.lock_model(conn, user_id, model_id)
    if status is None:
        raise NotFound
    if status == "pending":
        raise ModelNotStored({"status": status})
    await queries.delete_model(conn, model_id)
    await schedule_deletion(conn, MODELS, model_prefix(user_id, model_id))


def _summarize(verdict: QualityMetrics) -> Quality:
    return Quality(
        score=verdict.overall_score,
        convergence=verdict.convergence_quality,
        reason=verdict.reason,
        final_training_loss=verdict.final_training_loss,
        best_training_loss=verdict.best_training_loss,
        final_validation_loss=verdict.final_validation_loss,
        perplexity=verdict.perplexity,
    )
