"""Facts that users are told of, from Kafka."""

from brightrun.contracts.events import (
    ArtifactReady,
    BudgetReached,
    DatasetValidated,
    DurationReached,
    JobCompleted,
    JobPaused,
    JobQueued,
    JobRefused,
    JobStarted,
)
from brightrun.notifier.actions import notifications as actions
from brightrun.runtime.database import Connection
from brightrun.runtime.kafka import subscribe


@subscribe(JobQueued)
async def on_job_queued(event: JobQueued, conn: Connection) -> None:
    await actions.notify(conn, event)


@subscribe(JobRefused)
async def on_job_refused(event: JobRefused, conn: Connection) -> None:
    await actions.notify(conn, event)


@subscribe(JobStarted)
async def on_job_started(event: JobStarted, conn: Connection) -> None:
    await actions.notify(conn, event)


@subscribe(JobPaused)
async def on_job_paused(event: JobPaused, conn: Connection) -> None:
    await actions.notify(conn, event)


@subscribe(JobCompleted)
async def on_job_completed(event: JobCompleted, conn: Connection) -> None:
    await actions.notify(conn, event)


@subscribe(DatasetValidated)
async def on_dataset_validated(event: DatasetValidated, conn: Connection) -> None:
    await actions.notify(conn, event)


@subscribe(ArtifactReady)
async def on_artifact_ready(event: ArtifactReady, conn: Connection) -> None:
    await actions.notify(conn, event)


@subscribe(BudgetReached)
async def on_budget_reached(event: BudgetReached, conn: Connection) -> None:
    await actions.notify(conn, event)


@subscribe(DurationReached)
async def on_duration_reached(event: DurationReached, conn: Connection) -> None:
    await actions.notify(conn, event)
