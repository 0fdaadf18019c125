"""Kafka in: a completed job's files are expected, and its loss curve is followed. No long work here."""

from collections.abc import Sequence

from brightrun.artifacts.models import actions
from brightrun.contracts.events import JobCompleted, JobProgress
from brightrun.contracts.job_status import JobStatus
from brightrun.runtime.database import Connection
from brightrun.runtime.kafka import subscribe, subscribe_batch


@subscribe(JobCompleted)
async def on_job_completed(event: JobCompleted, conn: Connection) -> None:
    """A job that failed or was cancelled leaves no model."""
    if event.outcome is JobStatus.COMPLETED:
        await actions.expect_model(conn, event)


@subscribe_batch(JobProgress)
async def on_job_progress(events: Sequence[JobProgress], conn: Connection) -> None:
    """Keep the summary of the curve, which the model is judged by."""
    await actions.follow_curves(conn, events)
