"""What the scheduler does with jobs and attempts. Every write of a run is guarded by its attempt."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import structlog

from brightrun.contracts.cluster_api import RunEvent, RunStatus
from brightrun.contracts.events import JobCompleted, JobQueued, JobStarted
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import JobError
from brightrun.contracts.values import utc_now
from brightrun.runtime import outbox
from brightrun.runtime.database import Connection
from brightrun.scheduler import queries, rules
from brightrun.scheduler.models import Accepted, Attempt, Busy, Rejected, Silent, Submission

log = structlog.get_logger()

Outcome = Literal[JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED]


async def enqueue(conn: Connection, job: JobQueued) -> None:
    """Queue the job, or end it at once when its cancellation came first."""
    await queries.lock_job(conn, job.job_id)
    if not await queries.insert_waiting(conn, job):
        return
    if await queries.take_cancellation(conn, job.job_id):
        await request_cancel(conn, job.job_id)
    else:
        await queries.wake(conn, "queue")


async def request_cancel(conn: Connection, job_id: UUID) -> None:
    """End a waiting job now; have a submitted one stopped by its cluster; remember an unknown one."""
    await queries.lock_job(conn, job_id)
    state = await queries.mark_cancelled(conn, job_id)
    if state is None:
        await queries.remember_cancellation(conn, job_id)
    elif state == "waiting":
        await _complete(conn, await queries.get_job(conn, job_id), JobStatus.CANCELLED, utc_now())
    else:
        await queries.wake(conn, "cancel")


async def take_next(conn: Connection, cluster: str, free_gpus: int) -> Attempt | None:
    """Lease the next attempt to submit: one whose holder vanished first, else the oldest job that fits."""
    lapsed = await queries.take_lapsed(conn, cluster, rules.LEASE)
    return lapsed or await queries.take_waiting(conn, cluster, free_gpus, rules.LEASE)


async def apply_submission(conn: Connection, attempt: Attempt, submission: Submission) -> None:
    """Write down what the cluster said. A silent cluster is asked again by whoever holds the lease next."""
    match submission:
        case Accepted(external_job_id):
            await accept(conn, attempt, external_job_id)
        case Busy():
            if await queries.give_back(conn, attempt):
                await _wait_again(conn, attempt.job, attempt.attempt - 1, rules.BUSY_PAUSE)
        case Rejected(error):
            if await queries.reject_attempt(conn, attempt, error):
                await _complete(conn, attempt.job, JobStatus.FAILED, utc_now(), attempt=attempt, error=error)
        case Silent(reason):
            await queries.shorten_lease(conn, attempt, rules.SILENT_PAUSE)
            log.warning("attempt.unanswered", job_id=str(attempt.job.job_id), attempt=attempt.attempt, reason=reason)


async def accept(conn: Connection, attempt: Attempt, external_job_id: str) -> None:
    """The cluster has the run: the job has started."""
    if not await queries.set_live(conn, attempt, external_job_id):
        return
    job = attempt.job
    await outbox.add(
        conn,
        JobStarted(
            job_id=job.job_id,
            user_id=job.user_id,
            attempt=attempt.attempt,
            cluster=attempt.cluster,
            external_job_id=external_job_id,
            gpu=job.gpu,
            dataset_name=job.dataset.name,
        ),
    )
    await queries.wake(conn, "cancel")


async def _wait_again(conn: Connection, job: JobQueued, last_attempt: int, pause: timedelta) -> None:
    if await queries.set_waiting(conn, job.job_id, last_attempt, pause):
        await _complete(conn, job, JobStatus.CANCELLED, utc_now())


async def apply_events(conn: Connection, events: Sequence[RunEvent]) -> None:
    """Write down what the cluster's stream says: runs that were accepted, and runs that are over."""
    attempts = {attempt.key: attempt for attempt in await queries.find_attempts(conn, rules.keys_of(events))}
    for attempt, run in rules.accepted_by(events, attempts):
        await accept(conn, attempt, run.external_job_id)
    for attempt, run in rules.ends_of(events, attempts):
        await _end(conn, attempt, run)


async def _end(conn: Connection, attempt: Attempt, run: RunStatus) -> None:
    error = rules.error_of(run)
    if not await queries.end_attempt(conn, attempt, run.status, error):
        return
    if rules.to_be_retried(attempt, run):
        log.info("attempt.lost", job_id=str(run.job_id), attempt=run.attempt, error=repr(error))
        await _wait_again(conn, attempt.job, attempt.attempt, rules.retry_pause(attempt.attempt))
    else:
        finished_at = run.finished_at or utc_now()
        await _complete(conn, attempt.job, _outcome(run), finished_at, attempt=attempt, run=run, error=error)
    await queries.wake(conn, "queue")


def _outcome(run: RunStatus) -> Outcome:
    match run.status:
        case "completed":
            return JobStatus.COMPLETED
        case "cancelled":
            return JobStatus.CANCELLED
        case _:
            return JobStatus.FAILED


async def _complete(
    conn: Connection,
    job: JobQueued,
    outcome: Outcome,
    finished_at: datetime,
    *,
    attempt: Attempt | None = None,
    run: RunStatus | None = None,
    error: JobError | None = None,
) -> None:
    """The job is over, once."""
    if not await queries.end_job(conn, job.job_id):
        return
    await outbox.add(
        conn,
        JobCompleted(
            job_id=job.job_id,
            user_id=job.user_id,
            name=job.name,
            attempt=attempt.attempt if attempt else 0,
            outcome=outcome,
            cluster=attempt.cluster if attempt else None,
            external_job_id=run.external_job_id if run else None,
            spec=job.spec,
            gpu=job.gpu,
            dataset=job.dataset,
            pricing=job.pricing,
            started_at=run.started_at if run else None,
            finished_at=finished_at,
            trained_tokens=run.trained_tokens if run else 0,
            error=error,
        ),
    )
