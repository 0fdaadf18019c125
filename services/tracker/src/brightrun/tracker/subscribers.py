"""Facts that the tracker keeps, from Kafka."""

from collections.abc import Sequence

from brightrun.contracts.events import (
    ArtifactReady,
    BudgetReached,
    DurationReached,
    JobAttemptLost,
    JobCompleted,
    JobDeleted,
    JobPaused,
    JobProgress,
    JobQueued,
    JobRefused,
    JobResumeRequested,
    JobStarted,
)
from brightrun.runtime.database import Connection
from brightrun.runtime.kafka import subscribe, subscribe_batch
from brightrun.tracker import actions


@subscribe(JobQueued)
async def on_job_queued(event: JobQueued, conn: Connection) -> None:
    await actions.record_fact(conn, event)


@subscribe(JobRefused)
async def on_job_refused(event: JobRefused, conn: Connection) -> None:
    await actions.record_fact(conn, event)


@subscribe(JobStarted)
async def on_job_started(event: JobStarted, conn: Connection) -> None:
    await actions.record_fact(conn, event)


@subscribe(JobAttemptLost)
async def on_job_attempt_lost(event: JobAttemptLost, conn: Connection) -> None:
    await actions.record_fact(conn, event)


@subscribe(BudgetReached)
async def on_budget_reached(event: BudgetReached, conn: Connection) -> None:
    await actions.record_fact(conn, event)


@subscribe(DurationReached)
async def on_duration_reached(event: DurationReached, conn: Connection) -> None:
    await actions.record_fact(conn, event)


@subscribe(JobPaused)
async def on_job_paused(event: JobPaused, conn: Connection) -> None:
    await actions.record_fact(conn, event)


@subscribe(JobResumeRequested)
async def on_job_resume_requested(event: JobResumeRequested, conn: Connection) -> None:
    await actions.record_fact(conn, event)


@subscribe(JobCompleted)
async def on_job_completed(event: JobCompleted, conn: Connection) -> None:
    await actions.record_fact(conn, event)


@subscribe(ArtifactReady)
async def on_artifact_ready(event: ArtifactReady, conn: Connection) -> None:
    await actions.record_fact(conn, event)


@subscribe(JobDeleted)
async def on_job_deleted(event: JobDeleted, conn: Connection) -> None:
    await actions.forget_job(conn, event)


@subscribe_batch(JobProgress)
async def on_job_progress(events: Sequence[JobProgress], conn: Connection) -> None:
    await actions.record_progress(conn, events)
