"""Events that the tracker records, from Kafka."""

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
from brightrun.tracker.rules.log_entries import LoggedEvent


async def _record(event: LoggedEvent, conn: Connection) -> None:
    await actions.record_event(conn, event)


on_job_queued = subscribe(JobQueued)(_record)
on_job_refused = subscribe(JobRefused)(_record)
on_job_started = subscribe(JobStarted)(_record)
on_job_attempt_lost = subscribe(JobAttemptLost)(_record)
on_budget_reached = subscribe(BudgetReached)(_record)
on_duration_reached = subscribe(DurationReached)(_record)
on_job_paused = subscribe(JobPaused)(_record)
on_job_resume_requested = subscribe(JobResumeRequested)(_record)
on_job_completed = subscribe(JobCompleted)(_record)
on_artifact_ready = subscribe(ArtifactReady)(_record)


@subscribe(JobDeleted)
async def on_job_deleted(event: JobDeleted, conn: Connection) -> None:
    await actions.forget_job(conn, event)


@subscribe_batch(JobProgress)
async def on_job_progress(events: Sequence[JobProgress], conn: Connection) -> None:
    await actions.record_progress(conn, events)
