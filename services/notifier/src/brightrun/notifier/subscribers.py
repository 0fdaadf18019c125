"""Events that users are notified of, from Kafka."""

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
from brightrun.notifier.actions import notifications
from brightrun.notifier.rules.notification_templates import NotifiableEvent
from brightrun.runtime.database import Connection
from brightrun.runtime.kafka import subscribe


async def _notify(event: NotifiableEvent, conn: Connection) -> None:
    await notifications.notify(conn, event)


on_job_queued = subscribe(JobQueued)(_notify)
on_job_refused = subscribe(JobRefused)(_notify)
on_job_started = subscribe(JobStarted)(_notify)
on_job_paused = subscribe(JobPaused)(_notify)
on_job_completed = subscribe(JobCompleted)(_notify)
on_dataset_validated = subscribe(DatasetValidated)(_notify)
on_artifact_ready = subscribe(ArtifactReady)(_notify)
on_budget_reached = subscribe(BudgetReached)(_notify)
on_duration_reached = subscribe(DurationReached)(_notify)
