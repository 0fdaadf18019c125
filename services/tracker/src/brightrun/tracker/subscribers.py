"""Events that the tracker records, from Kafka."""

from collections.abc import Sequence
from typing import get_args

from brightrun.contracts.events import JobDeleted, JobProgress
from brightrun.runtime.database import Connection
from brightrun.runtime.kafka import subscribe, subscribe_batch
from brightrun.tracker import actions
from brightrun.tracker.rules.log_entries import LoggedEvent


async def _record(event: LoggedEvent, conn: Connection) -> None:
    await actions.record_event(conn, event)


@subscribe(JobDeleted)
async def on_job_deleted(event: JobDeleted, conn: Connection) -> None:
    await actions.forget_job(conn, event)


@subscribe_batch(JobProgress)
async def on_job_progress(events: Sequence[JobProgress], conn: Connection) -> None:
    await actions.record_progress(conn, events)


SUBSCRIPTIONS = [
    *(subscribe(event_type)(_record) for event_type in get_args(LoggedEvent)),
    on_job_deleted,
    on_job_progress,
]
