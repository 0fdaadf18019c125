"""Jobs enter the queue; operators decide who gets how much, and what goes first."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import structlog

from brightrun.contracts.events import JobQueued
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.placement import Lack, Needs
from brightrun.contracts.scheduling import Priority
from brightrun.contracts.training import JobError
from brightrun.runtime.database import Connection
from brightrun.runtime.errors import NotFound
from brightrun.runtime.notify import notify
from brightrun.scheduler.coordination import lock_queue
from brightrun.scheduler.lifecycle.actions import complete_job, pause_waiting_job
from brightrun.scheduler.queue import queries
from brightrun.scheduler.queue.rules import fairness

log = structlog.get_logger()

OTHER_GPUS = ("no_such_gpus", "Choose other GPUs, or fewer, and submit the job again.")
REFUSALS: Mapping[Lack, tuple[str, str]] = {
    "gpu_type": OTHER_GPUS,
    "gpu_count": OTHER_GPUS,
    "base_model": ("base_model_missing", "Choose another base model, or ask the operator to add this one."),
    "inputs": ("inputs_unsupported", "Use a validation_split and leave init_from out, or choose other GPUs."),
}
"""Code and advice for what no cluster has."""


async def enqueue(conn: Connection, jobs: Sequence[JobQueued]) -> None:
    """Queue the jobs; cancel or pause at once those whose stop requests came first.

    The lock lets a job and a request to stop it, which come on different topics, be handled one after the other.
    """
    await lock_queue(conn)
    seconds = [fairness.expected_seconds(job) for job in jobs]
    queued = {job.job_id: job for job in jobs}
    for job_id, turn in await queries.insert_jobs(conn, jobs, seconds):
        if turn is None:
            await complete_job(conn, queued[job_id], JobStatus.CANCELLED)
        else:
            await pause_waiting_job(conn, queued[job_id])


async def refuse(conn: Connection, user_id: UUID, needs: Needs, lacks: Mapping[Lack, str]) -> None:
    """End the user's waiting jobs with needs that no cluster meets."""
    code, advice = REFUSALS[next(iter(lacks))]
    message = "; ".join(lacks.values())
    error = JobError(code=code, message=f"{message[0].upper()}{message[1:]}.", advice=advice)
    for job in await queries.lock_waiting(conn, user_id, needs):
        log.info("job.refused", job_id=str(job.job_id), error=repr(error))
        await complete_job(conn, job, JobStatus.FAILED, error=error)


async def set_share(conn: Connection, user_id: UUID, weight: float, quota: int | None) -> None:
    """Give a user a weight and a quota of GPUs, from the next decision on."""
    await queries.set_share(conn, user_id, weight, quota)
    await notify(conn, "queue")


async def set_priority(conn: Connection, job_id: UUID, priority: Priority) -> None:
    """Move a waiting job. Raises NotFound."""
    if not await queries.set_priority(conn, job_id, fairness.PRIORITIES[priority]):
        raise NotFound
    await notify(conn, "queue")
