"""Jobs are cancelled, paused, resumed and finished early."""

from uuid import UUID

import structlog
from prometheus_client import Counter

from brightrun.contracts.job_status import JobStatus
from brightrun.runtime.database import Connection
from brightrun.runtime.notify import notify
from brightrun.scheduler.coordination import lock_queue
from brightrun.scheduler.lifecycle.actions import complete_job, lose_attempt, pause_waiting_job
from brightrun.scheduler.lifecycle.queries import get_job
from brightrun.scheduler.states import JobState
from brightrun.scheduler.stopping import queries, rules

log = structlog.get_logger()

UNACKNOWLEDGED = Counter(
    "brightrun_unacknowledged_cancellations_total", "Jobs cancelled without an acknowledgement.", ["cluster"]
)


async def request_cancel(conn: Connection, job_id: UUID) -> None:
    """End a waiting or paused job now; have a submitted one stopped by its cluster; remember an unknown one."""
    await lock_queue(conn)
    state = await queries.request_cancel(conn, job_id)
    if state in (JobState.WAITING, JobState.PAUSED):
        await complete_job(conn, await get_job(conn, job_id), JobStatus.CANCELLED)
    elif state:
        await notify(conn, "stops")


async def request_pause(conn: Connection, job_id: UUID, turn: int) -> None:
    """Let a waiting job pause now; have a submitted one saved and ended by its cluster; remember an unknown one."""
    await lock_queue(conn)
    state = await queries.request_pause(conn, job_id, turn)
    if state is JobState.WAITING:
        await pause_waiting_job(conn, await get_job(conn, job_id))
    elif state in (JobState.SUBMITTING, JobState.LIVE):
        await notify(conn, "stops")


async def request_finish(conn: Connection, job_id: UUID) -> None:
    """Have the job's run train no further and deliver what it has."""
    await queries.request_finish(conn, job_id)
    await notify(conn, "stops")


async def request_resume(conn: Connection, job_id: UUID, turn: int) -> None:
    """Let a paused job wait again, in its old position; one that has not paused yet goes on once it has."""
    await lock_queue(conn)
    if await queries.request_resume(conn, job_id, turn):
        await notify(conn, "queue")


async def give_up_unacknowledged(conn: Connection, max_attempts: int) -> None:
    """End cancelled jobs whose clusters do not answer; their runs are stopped when they do."""
    for attempt in await queries.find_unacknowledged(conn, rules.CANCEL_DEADLINE):
        log.warning("cancel.unacknowledged", **attempt.log_fields)
        UNACKNOWLEDGED.labels(attempt.cluster).inc()
        await lose_attempt(conn, attempt, rules.UNACKNOWLEDGED, max_attempts)
