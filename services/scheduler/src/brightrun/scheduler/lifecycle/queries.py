"""SQL of the states of jobs and attempts, and of what users are charged."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from brightrun.contracts.events import JobQueued
from brightrun.contracts.training import JobError
from brightrun.runtime.database import Connection
from brightrun.scheduler.lifecycle.models import ResumePoint, StartedAttempt, StopRequests
from brightrun.scheduler.models import ATTEMPT_COLUMNS, Attempt, Key
from brightrun.scheduler.states import (
    ACCEPT_ATTEMPT,
    ACCEPT_JOB,
    END_ATTEMPT,
    END_JOB,
    PAUSE_JOB,
    REQUEUE_JOB,
    JobState,
)

RESUME = """
    preferred_cluster = CASE WHEN $2 = '' THEN preferred_cluster ELSE $2 END,
    resume_from = CASE WHEN $2 IN ('', preferred_cluster) THEN coalesce($3, resume_from) ELSE $3 END
"""
"""`$2` and `$3` are a ResumePoint."""


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
    resume: ResumePoint,
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
        job_id, *resume, pause, given_back, lost,
    )  # fmt: skip
    return Requeued(*row) if row else None


async def pause_job(conn: Connection, job_id: UUID, resume: ResumePoint, *, skip_attempt: bool) -> int | None:
    """Pause the job and return its last attempt's number; None if its state does not allow it.

    `skip_attempt`: the pause uses up the next attempt's number.
    """
    attempt: int | None = await conn.fetchval(
        f"""
        UPDATE queue SET state = '{PAUSE_JOB.target}', {RESUME}, attempt = attempt + $4::bool::int
        WHERE job_id = $1 AND state IN {PAUSE_JOB.allowed} RETURNING attempt
        """,
        job_id, *resume, skip_attempt,
    )  # fmt: skip
    return attempt


async def end_job(conn: Connection, job_id: UUID) -> bool:
    """End the job; False if it was over before."""
    tag = await conn.execute(
        f"UPDATE queue SET state = '{END_JOB.target}' WHERE job_id = $1 AND state IN {END_JOB.allowed}", job_id
    )
    return tag == "UPDATE 1"


async def resumable_until(conn: Connection, job_id: UUID) -> datetime | None:
    """How long its cluster keeps the job's last checkpoint; None without one, or if the cluster does not say."""
    until: datetime | None = await conn.fetchval(
        """
        SELECT coalesce(a.released_at, a.finished_at, a.ended_at, now())
            + make_interval(secs => 86400 * (c.capabilities ->> 'checkpoint_days')::float8)
        FROM attempts a JOIN clusters c ON c.name = a.cluster
        WHERE a.job_id = $1 AND a.external_job_id IS NOT NULL AND a.saved_step IS NOT NULL
        ORDER BY a.attempt DESC LIMIT 1
        """,
        job_id,
    )
    return until


class EndedAttempt(NamedTuple):
    """`excess`: GPU-seconds used beyond those charged, below 0 if too many were charged."""

    excess: float
    saved_step: int | None


async def lock_attempts(conn: Connection, keys: Collection[Key]) -> None:
    """Lock the attempts, in order: a response and the stream write one after the other."""
    await conn.execute(
        """
        SELECT FROM attempts JOIN unnest($1::uuid[], $2::int[]) AS keys (job_id, attempt) USING (job_id, attempt)
        ORDER BY job_id, attempt FOR UPDATE OF attempts
        """,
        [job_id for job_id, _ in keys], [attempt for _, attempt in keys],
    )  # fmt: skip


async def accept_attempts(conn: Connection, runs: Sequence[tuple[Attempt, str]]) -> list[StartedAttempt]:
    """Lock the attempts, record their runs' external ids, and return those that have started their job.

    Needs no fence: a cluster has one run of an attempt. A run of a job that is over meanwhile is recorded too, so that
    it is stopped.
    """
    rows = await conn.fetch(
        f"""
        WITH run AS (
            SELECT job_id, attempt, run.external_job_id FROM attempts
            JOIN unnest($1::uuid[], $2::int[], $3::text[], $4::text[])
                AS run (job_id, attempt, cluster, external_job_id) USING (job_id, attempt, cluster)
            ORDER BY job_id, attempt FOR UPDATE OF attempts),
        a AS (
            UPDATE attempts SET state = '{ACCEPT_ATTEMPT.target}', external_job_id = run.external_job_id,
                accepted_at = now(), poll_at = now(), stop_decided_at = CASE WHEN EXISTS (
                    SELECT FROM queue q WHERE q.job_id = attempts.job_id AND q.state = '{JobState.OVER}') THEN now() END
            FROM run
            WHERE (attempts.job_id, attempts.attempt) = (run.job_id, run.attempt) AND state IN {ACCEPT_ATTEMPT.allowed}
            RETURNING attempts.*)
        UPDATE queue q SET state = '{ACCEPT_JOB.target}', attempt = greatest(q.attempt, a.attempt)
        FROM a JOIN clusters c ON c.name = a.cluster
        WHERE q.job_id = a.job_id AND q.state IN {ACCEPT_JOB.allowed}
        RETURNING {ATTEMPT_COLUMNS}, q.job::text, extract(epoch FROM now() - q.queued_at)::float8,
            q.cancel_requested_at IS NOT NULL OR q.pause_requested_at IS NOT NULL OR q.finish_requested_at IS NOT NULL,
            c.pausable
        """,
        [attempt.job_id for attempt, _ in runs], [attempt.attempt for attempt, _ in runs],
        [attempt.cluster for attempt, _ in runs], [external_job_id for _, external_job_id in runs],
    )  # fmt: skip
    return [StartedAttempt(Attempt(*row[:7]), JobQueued.model_validate_json(row[7]), *row[8:]) for row in rows]


async def save_late_runs(conn: Connection, runs: Sequence[tuple[Attempt, str]]) -> None:
    """Record which runs lost attempts are, so that these are stopped."""
    await conn.execute(
        """
        UPDATE attempts a SET external_job_id = run.external_job_id
        FROM unnest($1::uuid[], $2::int[], $3::text[]) AS run (job_id, attempt, external_job_id)
        WHERE (a.job_id, a.attempt) = (run.job_id, run.attempt) AND a.outcome = 'lost' AND a.external_job_id IS NULL
        """,
        [attempt.job_id for attempt, _ in runs], [attempt.attempt for attempt, _ in runs],
        [external_job_id for _, external_job_id in runs],
    )  # fmt: skip


async def end_attempt(
    conn: Connection,
    attempt: Attempt,
    outcome: str,
    error: JobError | None,
    *,
    saved_step: int | None = None,
    last_step: int | None = None,
) -> EndedAttempt | None:
    """End an attempt whose run is over, or that is given up as `lost`; None if it was over before."""
    row = await conn.fetchrow(
        f"""
        UPDATE attempts SET state = '{END_ATTEMPT.target}', outcome = $3, error = $4, ended_at = now(),
            saved_step = coalesce($5, saved_step), last_step = $6
        WHERE job_id = $1 AND attempt = $2 AND state IN {END_ATTEMPT.allowed}
        RETURNING gpus * coalesce(extract(epoch FROM now() - accepted_at), 0)::float8 - charged, saved_step
        """,
        *attempt.key, outcome, error.model_dump(mode="json") if error else None, saved_step, last_step,
    )  # fmt: skip
    return EndedAttempt(*row) if row else None


async def read_stop_requests(conn: Connection, attempt: Attempt) -> tuple[JobQueued, StopRequests]:
    """The attempt's job, locked, and what was requested of it."""
    row = await conn.fetchrow(
        """
        SELECT q.job::text, q.cancel_requested_at IS NOT NULL, q.pause_requested_at IS NOT NULL,
               q.finish_requested_at IS NOT NULL,
               CASE WHEN a.stop_decided_at IS NOT NULL THEN a.limited_by END, a.stop_sent, q.lost_attempts,
               coalesce((
                   SELECT (p.error, p.last_step) = (a.error, a.last_step) FROM attempts p
                   WHERE p.job_id = a.job_id AND p.attempt < a.attempt AND p.error IS NOT NULL
                   ORDER BY p.attempt DESC LIMIT 1), false)
        FROM queue q JOIN attempts a USING (job_id) WHERE q.job_id = $1 AND a.attempt = $2 FOR UPDATE OF q
        """,
        *attempt.key,
    )
    assert row is not None  # noqa: S101 - the attempt's row refers to the job's
    return JobQueued.model_validate_json(row[0]), StopRequests(*row[1:])


async def charge_users(conn: Connection, gpu_seconds: Mapping[UUID, float]) -> None:
    """Add to what users have used; below 0 is a refund."""
    await conn.execute(
        """
        WITH locked AS (SELECT user_id FROM users WHERE user_id = ANY($1) ORDER BY user_id FOR UPDATE)
        UPDATE users SET virtual_time = virtual_time + due.gpu_seconds / weight
        FROM locked JOIN unnest($1::uuid[], $2::float8[]) AS due (user_id, gpu_seconds) USING (user_id)
        WHERE users.user_id = locked.user_id
        """,
        list(gpu_seconds), list(gpu_seconds.values()),
    )  # fmt: skip
