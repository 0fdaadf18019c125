"""Events that jobs are projected from, and validations that jobs await."""

from collections.abc import Sequence
from typing import Any

from brightrun.api.jobs import actions
from brightrun.contracts.events import (
    ArtifactReady,
    DatasetValidated,
    JobAttemptLost,
    JobCompleted,
    JobEvent,
    JobPaused,
    JobProgress,
    JobStarted,
)
from brightrun.runtime.database import Connection
from brightrun.runtime.kafka import Subscription, subscribe, subscribe_batch


async def _project(event: JobEvent, conn: Connection) -> None:
    await actions.project_events(conn, [event])


@subscribe_batch(JobProgress)
async def on_job_progress(events: Sequence[JobProgress], conn: Connection) -> None:
    """Apply progress; each job is written once for the whole batch."""
    await actions.project_events(conn, events)


@subscribe(DatasetValidated)
async def on_dataset_validated(event: DatasetValidated, conn: Connection) -> None:
    """A data set is valid or invalid."""
    await actions.apply_validation(conn, event)


SUBSCRIPTIONS: list[Subscription[Any]] = [
    *(subscribe(event)(_project) for event in (JobStarted, JobAttemptLost, JobPaused, JobCompleted, ArtifactReady)),
    on_job_progress,
    on_dataset_validated,
]
