"""Cancel, pause, resume and delete jobs; apply the events about them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from uuid import UUID

from brightrun.api.datasets import queries as datasets
from brightrun.api.datasets.models import READY, PendingDataset
from brightrun.api.deletions import queries as deletions
from brightrun.api.errors import JobFinished, JobNotFinishable, JobNotOver, JobNotPausable, JobNotPaused
from brightrun.api.jobs import projection, queries, rules
from brightrun.api.jobs.models import Job
from brightrun.contracts.events import (
    AdapterRef,
    DatasetRef,
    DatasetValidated,
    JobCancelRequested,
    JobDeleted,
    JobEvent,
    JobFinishRequested,
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


async def cancel_job(conn: Connection, user_id: UUID, job_id: UUID) -> Job:
    """Request the job's cancellation, once; a job that awaits a data set ends immediately. Raises JobFinished."""
    job = await _lock_job(conn, user_id, job_id)
    if job.state.status.terminal:
        raise JobFinished
    now = utc_now()
    if job.awaiting_dataset:
        job = rules.cancel_awaiting(job, now)
        await queries.save_awaited(conn, job)
    elif job.cancel_requested_at is None:
        job = replace(job, cancel_requested_at=now)
        await queries.mark_cancel_requested(conn, job.id, now)
        await outbox.add(conn, JobCancelRequested(job_id=job.id, user_id=user_id))
    return job


async def pause_job(conn: Connection, user_id: UUID, job_id: UUID) -> Job:
    """Request a pause, once. Raises JobNotPausable."""
    job = await _lock_job(conn, user_id, job_id)
    if not rules.can_pause(job):
        raise JobNotPausable({"status": job.state.status})
    if not job.pausing:
        job = rules.pause(job, utc_now())
        await queries.save_pause(conn, job)
        await outbox.add(conn, JobPauseRequested(job_id=job.id, user_id=user_id, turn=job.pause_turn))
    return job


async def finish_job(conn: Connection, user_id: UUID, job_id: UUID) -> Job:
    """Request that the job trains no further and delivers what it has. Raises JobNotFinishable."""
    job = await _lock_job(conn, user_id, job_id)
    if not rules.can_finish(job):
        raise JobNotFinishable({"status": job.state.status})
    await outbox.add(conn, JobFinishRequested(job_id=job.id, user_id=user_id))
    return job


async def resume_job(conn: Connection, user_id: UUID, job_id: UUID) -> Job:
    """Queue the paused job again, to resume from its last checkpoint. Raises JobNotPaused."""
    job = await _lock_job(conn, user_id, job_id)
    if not rules.can_resume(job):
        raise JobNotPaused({"status": job.state.status, "pausing": job.pausing})
    job = rules.resume(job)
    await queries.save_pause(conn, job)
    await outbox.add(conn, JobResumeRequested(job_id=job.id, user_id=user_id, turn=job.pause_turn))
    return job


async def delete_job(conn: Connection, user_id: UUID, job_id: UUID) -> None:
    """Delete a job that has ended, and publish that. Raises JobNotOver."""
    job = await _lock_job(conn, user_id, job_id)
    if not job.state.status.terminal:
        raise JobNotOver
    await queries.delete_job(conn, job.id)
    await outbox.add(conn, JobDeleted(job_id=job.id, user_id=user_id))


def queued(job: Job) -> JobQueued:
    """The event of a job whose data sets are all validated."""
    if isinstance(job.dataset, PendingDataset) or isinstance(job.validation, PendingDataset):
        raise TypeError(f"job {job.id} awaits a data set")
    return JobQueued(
        job_id=job.id,
        user_id=job.user_id,
        name=job.name,
        spec=job.spec,
        gpu=job.gpu,
        dataset=job.dataset,
        pricing=job.pricing,
        estimated_cost=job.estimated_cost,
        validation=job.validation,
        start=AdapterRef.model_validate(job.start, from_attributes=True) if job.start else None,
        resumes_job=job.retry_of if job.from_checkpoint else None,
    )


async def _lock_job(conn: Connection, user_id: UUID, job_id: UUID) -> Job:
    """The user's job, locked. Raises NotFound."""
    job = await queries.lock_job(conn, user_id, job_id)
    if job is None:
        raise NotFound
    return job


async def project_events(conn: Connection, events: Sequence[JobEvent]) -> None:
    """Apply events to their jobs, which are locked so that consumers of other topics wait."""
    by_job: dict[UUID, list[JobEvent]] = defaultdict(list)
    for event in events:
        by_job[event.job_id].append(event)
    projected = [
        reduce(projection.apply_event, by_job[job.id], job) for job in await queries.lock_jobs(conn, list(by_job))
    ]
    await queries.save_projections(conn, projected)


async def apply_validation(conn: Connection, event: DatasetValidated) -> None:
    """Store the result of a validation, and queue or fail the jobs that await the data set."""
    await deletions.lock_object(conn, event.dataset_id)
    await datasets.save_dataset(conn, event)
    for job in await queries.lock_awaiting_jobs(conn, event.dataset_id):
        if event.status == READY:
            await _queue(conn, job, event)
        else:
            await _fail(conn, job, event, rules.unusable_error(job, event))


async def _queue(conn: Connection, job: Job, event: DatasetValidated) -> None:
    dataset = DatasetRef.model_validate(event.model_dump())
    if error := rules.mismatch_error(job, dataset):
        await _fail(conn, job, event, error)
        return
    job = rules.apply_validation(job, dataset)
    await queries.save_awaited(conn, job)
    if not job.awaiting_dataset:
        await outbox.add(conn, queued(job))


async def _fail(conn: Connection, job: Job, event: DatasetValidated, error: JobError) -> None:
    await queries.save_awaited(conn, rules.fail(job, error, utc_now()))
    refused = JobRefused(job_id=job.id, user_id=job.user_id, name=job.name, dataset_id=event.dataset_id, error=error)
    await outbox.add(conn, refused)
