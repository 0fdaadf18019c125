"""Jobs: recorded, paused, cancelled, deleted."""

from collections import defaultdict
from collections.abc import Sequence
from functools import reduce
from uuid import UUID

from brightrun.api.datasets import queries as datasets
from brightrun.api.datasets.models import READY
from brightrun.api.jobs import projection, queries, rules
from brightrun.api.jobs.errors import JobFinished, JobNotOver, JobNotPausable, JobNotPaused
from brightrun.api.jobs.models import Job
from brightrun.contracts.events import (
    AdapterRef,
    DatasetRef,
    DatasetValidated,
    JobCancelRequested,
    JobDeleted,
    JobEvent,
    JobPauseRequested,
    JobQueued,
    JobRefused,
    JobResumeRequested,
)
from brightrun.contracts.training import JobError
from brightrun.contracts.values import utc_now
from brightrun.runtime import outbox
from brightrun.runtime.database import Connection, Pool
from brightrun.runtime.errors import NotFound


async def get_job(conn: Connection | Pool, user_id: UUID, job_id: UUID) -> Job:
    """The user's job. Raises NotFound."""
    job = await queries.find_job(conn, user_id, job_id)
    if job is None:
        raise NotFound
    return job


async def cancel_job(conn: Connection, user_id: UUID, job_id: UUID) -> None:
    """Ask for the job to be stopped, once; one that was not queued yet ends at once."""
    job = await _own(conn, user_id, job_id)
    if job.state.status.terminal:
        raise JobFinished
    now = utc_now()
    if job.awaiting_dataset:
        await queries.save_awaited(conn, rules.cancel_awaiting(job, now))
    elif job.cancel_requested_at is None:
        await queries.mark_cancel_requested(conn, job.id, now)
        await outbox.add(conn, JobCancelRequested(job_id=job.id, user_id=user_id))


async def pause_job(conn: Connection, user_id: UUID, job_id: UUID) -> None:
    """Ask for the job to be saved and to give its GPUs back, once."""
    job = await _own(conn, user_id, job_id)
    if not rules.can_pause(job):
        raise JobNotPausable({"status": job.state.status})
    if not job.pausing:
        job = rules.pause(job, utc_now())
        await queries.save_pause(conn, job)
        await outbox.add(conn, JobPauseRequested(job_id=job.id, user_id=user_id, turn=job.pause_turn))


async def resume_job(conn: Connection, user_id: UUID, job_id: UUID) -> None:
    """Let the paused job wait for GPUs again, to go on from its last checkpoint."""
    job = await _own(conn, user_id, job_id)
    if not rules.can_resume(job):
        raise JobNotPaused({"status": job.state.status, "pausing": job.pausing})
    job = rules.resume(job)
    await queries.save_pause(conn, job)
    await outbox.add(conn, JobResumeRequested(job_id=job.id, user_id=user_id, turn=job.pause_turn))


async def delete_job(conn: Connection, user_id: UUID, job_id: UUID) -> None:
    """Forget a job that is over, and tell those who keep something of it."""
    job = await _own(conn, user_id, job_id)
    if not job.state.status.terminal:
        raise JobNotOver
    await queries.delete_job(conn, job.id)
    await outbox.add(conn, JobDeleted(job_id=job.id, user_id=user_id))


def queued(job: Job) -> JobQueued:
    """The fact that the job waits for GPUs. All its data sets are checked."""
    return JobQueued(
        job_id=job.id,
        user_id=job.user_id,
        name=job.name,
        spec=job.spec,
        gpu=job.gpu,
        dataset=DatasetRef.model_validate(job.dataset, from_attributes=True),
        pricing=job.pricing,
        estimated_cost=job.estimated_cost,
        validation=DatasetRef.model_validate(job.validation, from_attributes=True) if job.validation else None,
        start=AdapterRef.model_validate(job.start, from_attributes=True) if job.start else None,
    )


async def _own(conn: Connection, user_id: UUID, job_id: UUID) -> Job:
    """The user's job, locked. Raises NotFound."""
    job = await queries.lock_job(conn, user_id, job_id)
    if job is None:
        raise NotFound
    return job


async def project_events(conn: Connection, events: Sequence[JobEvent]) -> None:
    """Move the jobs that `events` are about; each is locked meanwhile, so that readers of other topics wait."""
    by_job: dict[UUID, list[JobEvent]] = defaultdict(list)
    for event in events:
        by_job[event.job_id].append(event)
    moved = [_move(job, by_job[job.id]) for job in await queries.lock_jobs(conn, list(by_job))]
    await queries.save_projections(conn, moved)


def _move(job: Job, events: Sequence[JobEvent]) -> Job:
    return reduce(projection.apply_event, events, job)


async def apply_validation(conn: Connection, event: DatasetValidated) -> None:
    """Keep what the validation found, and queue or end the jobs that waited for it."""
    await datasets.lock_dataset(conn, event.dataset_id)
    await datasets.save_dataset(conn, event)
    for job in await queries.lock_awaiting_jobs(conn, event.dataset_id):
        if event.status == READY:
            await _go_on(conn, job, event)
        else:
            await _refuse(conn, job, event, rules.unusable_error(job, event))


async def _go_on(conn: Connection, job: Job, event: DatasetValidated) -> None:
    dataset = DatasetRef.model_validate(event.model_dump())
    if error := rules.mismatch_error(job, dataset):
        await _refuse(conn, job, event, error)
        return
    job = rules.apply_validation(job, dataset)
    await queries.save_awaited(conn, job)
    if not job.awaiting_dataset:
        await outbox.add(conn, queued(job))


async def _refuse(conn: Connection, job: Job, event: DatasetValidated, error: JobError) -> None:
    await queries.save_awaited(conn, rules.fail(job, error, utc_now()))
    refused = JobRefused(job_id=job.id, user_id=job.user_id, name=job.name, dataset_id=event.dataset_id, error=error)
    await outbox.add(conn, refused)
