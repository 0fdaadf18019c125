"""The states of jobs."""

from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from brightrun.contracts.events import JobQueued
from brightrun.runtime.database import Connection
from brightrun.scheduler.states import END_JOB, PAUSE_JOB, REQUEUE_JOB

RESUME = """
    preferred_cluster = CASE WHEN $2 = '' THEN preferred_cluster ELSE $2 END,
    resume_from = CASE WHEN $2 IN ('', preferred_cluster) THEN coalesce($3, resume_from) ELSE $3 END
"""
"""`$2`: the cluster that the job goes back to, empty for as before; `$3`: the run there that it resumes."""


class Requeued(NamedTuple):
    """What its user requested of a job that waits again."""

    cancelled: bool
    paused: bool


async def get_job(conn: Connection, job_id: UUID) -> JobQueued:
    """The job as it was queued."""
    return JobQueued.model_validate_json(await conn.fetchval("SELECT job::text FROM queue WHERE job_id = $1", job_id))


async def requeue_job(
    conn: Connection,
    job_id: UUID,
    preferred_cluster: str,
    resume_from: str | None,
    pause: timedelta,
    *,
    given_back: int | None,
    lost: bool,
) -> Requeued | None:
    """Let the job wait for its next attempt; None if its state does not allow it.

    `given_back`: the last attempt, if its number is to be used again. `lost`: a cluster lost the last attempt.
    """
    row = await conn.fetchrow(
        f"""
        UPDATE queue SET state = '{REQUEUE_JOB.target}', {RESUME}, not_before = now() + $4::interval,
            attempt = attempt - coalesce((attempt = $5)::int, 0), lost_attempts = lost_attempts + $6::bool::int
        WHERE job_id = $1 AND state IN {REQUEUE_JOB.allowed}
        RETURNING cancel_requested_at IS NOT NULL, pause_requested_at IS NOT NULL
        """,
        job_id, preferred_cluster, resume_from, pause, given_back, lost,
    )  # fmt: skip
    return Requeued(*row) if row else None


async def pause_job(
    conn: Connection, job_id: UUID, preferred_cluster: str, resume_from: str | None, *, skip_attempt: bool
) -> int | None:
    """Pause the job and return its last attempt's number; None if its state does not allow it.

    `skip_attempt`: the pause uses up the next attempt's number.
    """
    attempt: int | None = await conn.fetchval(
        f"""
        UPDATE queue SET state = '{PAUSE_JOB.target}', {RESUME}, attempt = attempt + $4::bool::int
        WHERE job_id = $1 AND state IN {PAUSE_JOB.allowed} RETURNING attempt
        """,
        job_id, preferred_cluster, resume_from, skip_attempt,
    )  # fmt: skip
    return attempt


async def end_job(conn: Connection, job_id: UUID) -> bool:
    """End the job; False if it was over before."""
    tag = await conn.execute(
        f"UPDATE queue SET state = '{END_JOB.target}' WHERE job_id = $1 AND state IN {END_JOB.allowed}", job_id
    )
    return tag == "UPDATE 1"
