"""Models: expected, judged, stored, deleted."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from brightrun.artifacts.models import Model, QualityMetrics
from brightrun.artifacts.queries import discards, models, reports
from brightrun.artifacts.rules import quality, retries
from brightrun.artifacts.rules.files import MODELS, model_prefix
from brightrun.artifacts.rules.manifest import read_comparison
from brightrun.artifacts.rules.told import read_report
from brightrun.contracts.errors import ModelNotStored
from brightrun.contracts.events import ArtifactFile, ArtifactReady, JobCompleted, JobProgress, Quality
from brightrun.contracts.values import new_id, to_money
from brightrun.runtime import outbox
from brightrun.runtime.database import Connection
from brightrun.runtime.errors import NotFound, ServiceError
from brightrun.runtime.notify import notify

MAX_PROBLEM_LENGTH = 500


async def expect_model(conn: Connection, job: JobCompleted) -> None:
    """Expect the files of a completed job, once, and have them fetched."""
    trained = [one.finished_at - one.started_at for one in job.billed]
    await models.insert_model(
        conn,
        new_id(),
        job,
        name=f"{job.dataset.name} · {job.finished_at:%Y-%m-%d}",
        started_at=min((one.started_at for one in job.billed), default=job.finished_at),
        trained_seconds=sum(trained, timedelta()).total_seconds(),
        cost=to_money(job.pricing.total(job.billed) + job.pricing.storage),
    )
    await notify(conn, "transfer")


async def follow_curves(conn: Connection, events: Sequence[JobProgress]) -> None:
    """Extend each job's curve by the events that are newer than what it is known up to."""
    by_job: dict[UUID, list[JobProgress]] = defaultdict(list)
    for event in events:
        if event.points:
            by_job[event.job_id].append(event)
    for job_id in sorted(by_job):
        curve, known = await models.lock_curve(conn, job_id)
        for event in sorted(by_job[job_id], key=lambda event: (event.attempt, event.seq)):
            if (event.attempt, event.seq) > known:
                curve, known = quality.extend(curve, event.points), (event.attempt, event.seq)
        await models.save_curve(conn, job_id, curve, known)


async def finish_transfer(
    conn: Connection, model: Model, files: Sequence[ArtifactFile], metadata: Mapping[str, Any]
) -> bool:
    """Mark the model as stored, judge it and say so; False, and nothing is changed, if the lease was lost."""
    curve = await models.find_curve(conn, model.job_id)
    verdict = quality.judge(curve, read_comparison(metadata), pairs=model.spec.method == "dpo")
    if not await models.save_stored(conn, model.lease, curve, verdict):
        return False
    await models.insert_files(conn, model.id, files)
    await reports.insert_report(conn, model.id, read_report(metadata))
    event = ArtifactReady(
        job_id=model.job_id,
        user_id=model.user_id,
        artifact_id=model.id,
        name=model.name,
        dataset_name=model.dataset.name,
        files=tuple(files),
        quality=_published(verdict),
        pricing=model.pricing,
    )
    await outbox.add(conn, event)
    return True


async def record_problem(
    conn: Connection, model: Model, error: Exception, most_tries: int, first_pause: timedelta
) -> None:
    """Have a failed transfer tried again later, or give it up after `most_tries`; the reason is kept for the user."""
    status = "failed" if model.tries >= most_tries else "pending"
    said = error.message if isinstance(error, ServiceError) else str(error) or type(error).__name__
    problem = said.replace("\0", "")[:MAX_PROBLEM_LENGTH]
    await models.save_problem(conn, model.lease, status, problem, retries.pause_after(model.tries, first_pause))


async def delete_model(conn: Connection, user_id: UUID, model_id: UUID) -> None:
    """Forget the user's model at once; its objects go soon after. One that is still being stored is refused."""
    status = await models.lock_model(conn, user_id, model_id)
    if status is None:
        raise NotFound
    if status == "pending":
        raise ModelNotStored({"status": status})
    await models.delete_model(conn, model_id)
    await discards.discard(conn, MODELS, model_prefix(user_id, model_id))


def _published(verdict: QualityMetrics) -> Quality:
    return Quality(
        score=verdict.overall_score,
        convergence=verdict.convergence_quality,
        reason=verdict.reason,
        final_training_loss=verdict.final_training_loss,
        best_training_loss=verdict.best_training_loss,
        final_validation_loss=verdict.final_validation_loss,
        perplexity=verdict.perplexity,
    )
