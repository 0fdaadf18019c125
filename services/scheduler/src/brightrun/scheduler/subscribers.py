"""Kafka in."""

from brightrun.contracts.events import JobCancelRequested, JobQueued
from brightrun.runtime.database import Connection
from brightrun.runtime.kafka import subscribe
from brightrun.scheduler import actions


@subscribe(JobQueued)
async def on_job_queued(event: JobQueued, conn: Connection) -> None:
    await actions.enqueue(conn, event)


@subscribe(JobCancelRequested)
async def on_job_cancel_requested(event: JobCancelRequested, conn: Connection) -> None:
    await actions.request_cancel(conn, event.job_id)
