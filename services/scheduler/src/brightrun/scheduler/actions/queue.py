"""Jobs enter the queue, pause, and leave it."""

from collections.abc import Sequence
from uuid import UUID

import structlog

from brightrun.contracts.events import JobQueued
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import JobError
from brightrun.contracts.values import utc_now
from brightrun.runtime.database import Connection
from brightrun.scheduler import queries
from brightrun.scheduler.actions.ending import complete, pause_waiting
from brightrun.scheduler.queries import queue, shares, stops
from brightrun.scheduler.rules import durations, fairness

log = structlog.get_logger()


async def enqueue(conn: Connection, jobs: Sequence[JobQueued]) -> None:
    """Queue the jobs, or end those at once whose cancellation came first.

    The lock lets a job and a request to stop it, which come on different topics, be handled one after the other.
    """
    await shares.lock_dispatch(conn)
    urgencies = [fairness.urgency_of(job.priority) for job in jobs]
    seconds = [durations.expected_seconds(job) for job in jobs]
    for job_id, turn in await queue.insert_waiting(conn, jobs, urgencies, seconds):
        if turn is None:
            await request_cancel(conn, job_id)
        else:
            await request_pause(conn, job_id, turn)


async def request_cancel(conn: Connection, job_id: UUID) -> None:
    """End a waiting or paused job now; have a submitted one stopped by its cluster; remember an unknown one."""
    await shares.lock_dispatch(conn)
    state = await queue.mark_cancelled(conn, job_id)
    if state is None:
        await queue.remember_cancellation(conn, job_id)
    elif state in ("waiting", "paused"):
        await complete(conn, await queue.get_job(conn, job_id), JobStatus.CANCELLED, utc_now())
    else:
        await queries.wake(conn, "stops")


async def request_pause(conn: Connection, job_id: UUID, turn: int) -> None:
    """Let a waiting job pause now; have a submitted one saved and ended by its cluster; remember an unknown one."""
    await shares.lock_dispatch(conn)
    state = await stops.note_pause(conn, job_id, turn)
    if state == "waiting":
        await pause_waiting(conn, await queue.get_job(conn, job_id))
    elif state in ("submitting", "live"):
        await queries.wake(conn, "stops")


async def request_resume(conn: Connection, job_id: UUID, turn: int) -> None:
    """Let a paused job wait again, in its old place; one that has not paused yet goes on as soon as it has."""
    await shares.lock_dispatch(conn)
    if await stops.note_resume(conn, job_id, turn):
        await queries.wake(conn, "queue")


async def refuse(conn: Connection, user_id: UUID, gpu_type: str, gpus: int) -> None:
    """End the user's waiting jobs of a shape that no cluster has."""
    error = JobError(
        code="no_such_gpus",
        message=f"No cluster has {gpus} × {gpu_type}.",
        advice="Choose other GPUs, or fewer, and submit the job again.",
    )
    for job_id in await queue.find_waiting_of(conn, user_id, gpu_type, gpus):
        log.info("job.refused", job_id=str(job_id), error=repr(error))
        await complete(conn, await queue.get_job(conn, job_id), JobStatus.FAILED, utc_now(), error=error)
