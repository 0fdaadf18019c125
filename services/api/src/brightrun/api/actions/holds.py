"""Jobs that wait for their data sets."""

from brightrun.api.actions.jobs import queued
from brightrun.api.models import READY, Job
from brightrun.api.queries import datasets, jobs
from brightrun.api.rules import holds
from brightrun.contracts.events import DatasetRef, DatasetValidated, JobRefused
from brightrun.contracts.training import JobError
from brightrun.contracts.values import utc_now
from brightrun.runtime import outbox
from brightrun.runtime.database import Connection


async def take_validation(conn: Connection, event: DatasetValidated) -> None:
    """Keep what the validation found, and queue or end the jobs that waited for it."""
    await datasets.await_dataset(conn, event.dataset_id)
    await datasets.save_dataset(conn, event)
    for job in await jobs.lock_held_jobs(conn, event.dataset_id):
        if event.status == READY:
            await _go_on(conn, job, event)
        else:
            await _refuse(conn, job, event, holds.unusable(job, event))


async def _go_on(conn: Connection, job: Job, event: DatasetValidated) -> None:
    dataset = DatasetRef.model_validate(event.model_dump())
    if error := holds.unsuitable(job, dataset):
        await _refuse(conn, job, event, error)
        return
    job = holds.learn(job, dataset)
    await jobs.save_released(conn, job)
    if not job.held:
        await outbox.add(conn, queued(job))


async def _refuse(conn: Connection, job: Job, event: DatasetValidated, error: JobError) -> None:
    await jobs.save_released(conn, holds.refuse(job, error, utc_now()))
    refused = JobRefused(job_id=job.id, user_id=job.user_id, name=job.name, dataset_id=event.dataset_id, error=error)
    await outbox.add(conn, refused)
