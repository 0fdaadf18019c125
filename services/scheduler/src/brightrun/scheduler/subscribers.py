"""Kafka in."""

from collections.abc import Sequence

from brightrun.contracts.events import (
    JobCancelRequested,
    JobFinishRequested,
    JobPauseRequested,
    JobQueued,
    JobResumeRequested,
)
from brightrun.runtime.database import Connection
from brightrun.runtime.kafka import subscribe, subscribe_batch
from brightrun.scheduler.queue.actions import enqueue
from brightrun.scheduler.stopping import actions as stopping


@subscribe_batch(JobQueued)
async def on_jobs_queued(events: Sequence[JobQueued], conn: Connection) -> None:
    await enqueue(conn, events)


@subscribe(JobCancelRequested)
async def on_job_cancel_requested(event: JobCancelRequested, conn: Connection) -> None:
    await stopping.request_cancel(conn, event.job_id)


@subscribe(JobFinishRequested)
async def on_job_finish_requested(event: JobFinishRequested, conn: Connection) -> None:
    await stopping.request_finish(conn, event.job_id)


@subscribe(JobPauseRequested)
async def on_job_pause_requested(event: JobPauseRequested, conn: Connection) -> None:
    await stopping.request_pause(conn, event.job_id, event.turn)


@subscribe(JobResumeRequested)
async def on_job_resume_requested(event: JobResumeRequested, conn: Connection) -> None:
    await stopping.request_resume(conn, event.job_id, event.turn)
