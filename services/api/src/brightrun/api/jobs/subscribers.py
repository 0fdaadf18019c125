"""Events that jobs are projected from, and validations that jobs await."""

from collections.abc import Sequence

from brightrun.api.jobs import actions
from brightrun.contracts.events import (
    ArtifactReady,
    DatasetValidated,
    JobAttemptLost,
    JobCompleted,
    JobPaused,
    JobProgress,
    JobStarted,
)
from brightrun.runtime.database import Connection
from brightrun.runtime.kafka import subscribe, subscribe_batch


@subscribe(JobStarted)
async def on_job_started(event: JobStarted, conn: Connection) -> None:
    """A cluster accepted the job."""
    await actions.project_events(conn, [event])


@subscribe_batch(JobProgress)
async def on_job_progress(events: Sequence[JobProgress], conn: Connection) -> None:
    """Progress; each job is written once for the whole batch."""
    await actions.project_events(conn, events)


@subscribe(JobAttemptLost)
async def on_job_attempt_lost(event: JobAttemptLost, conn: Connection) -> None:
    """The attempt is lost; the job waits for another one."""
    await actions.project_events(conn, [event])


@subscribe(JobPaused)
async def on_job_paused(event: JobPaused, conn: Connection) -> None:
    """The job is paused; its GPUs are free."""
    await actions.project_events(conn, [event])


@subscribe(JobCompleted)
async def on_job_completed(event: JobCompleted, conn: Connection) -> None:
    """The job has ended."""
    await actions.project_events(conn, [event])


@subscribe(ArtifactReady)
async def on_artifact_ready(event: ArtifactReady, conn: Connection) -> None:
    """The job's model is stored."""
    await actions.project_events(conn, [event])


@subscribe(DatasetValidated)
async def on_dataset_validated(event: DatasetValidated, conn: Connection) -> None:
    """A data set is valid or invalid."""
    await actions.apply_validation(conn, event)
