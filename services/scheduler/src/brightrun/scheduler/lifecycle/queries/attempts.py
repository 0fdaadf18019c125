"""The states of attempts, and what their users are charged."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from brightrun.contracts.events import JobQueued
from brightrun.contracts.training import JobError
from brightrun.runtime.database import Connection
from brightrun.scheduler.lifecycle.models import StartedAttempt, StopRequests
from brightrun.scheduler.models import ATTEMPT_COLUMNS, Attempt, Key
from brightrun.scheduler.states import ACCEPT_ATTEMPT, ACCEPT_JOB, END_ATTEMPT, JobState


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
    """Record which run each attempt is, by its external id; returns those that have started their job.

    Needs no fence: a cluster has one run of an attempt. A run of a job that is over meanwhile is recorded too, so that
    it is stopped.
    """
    rows = await conn.fetch(
        f"""
        WITH a AS (
            UPDATE attempts SET state = '{ACCEPT_ATTEMPT.target}', external_job_id = run.external_job_id,
                accepted_at = now(), poll_at = now(), stop_decided_at = CASE WHEN EXISTS (
                    SELECT FROM queue q WHERE q.job_id = attempts.job_id AND q.state = '{JobState.OVER}') THEN now() END
            FROM unnest($1::uuid[], $2::int[], $3::text[], $4::text[])
                AS run (job_id, attempt, cluster, external_job_id)
            WHERE (attempts.job_id, attempts.attempt, attempts.cluster) = (run.job_id, run.attempt, run.cluster)
              AND state IN {ACCEPT_ATTEMPT.allowed}
            RETURNING attempts.*)
        UPDATE queue q SET state = '{ACCEPT_JOB.target}', attempt = greatest(q.attempt, a.attempt)
        FROM a JOIN clusters c ON c.name = a.cluster
        WHERE q.job_id = a.job_id AND q.state IN {ACCEPT_JOB.allowed}
        RETURNING {ATTEMPT_COLUMNS}, q.job::text, extract(epoch FROM now() - q.queued_at)::float8,
            q.cancel_requested_at IS NOT NULL OR q.pause_requested_at IS NOT NULL, c.pausable
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


async def end_attempt(conn: Connection, attempt: Attempt, outcome: str, error: JobError | None) -> EndedAttempt | None:
    """End an attempt whose run is over, or that is given up as `lost`; None if it was over before."""
    row = await conn.fetchrow(
        f"""
        UPDATE attempts SET state = '{END_ATTEMPT.target}', outcome = $3, error = $4, ended_at = now()
        WHERE job_id = $1 AND attempt = $2 AND state IN {END_ATTEMPT.allowed}
        RETURNING gpus * coalesce(extract(epoch FROM now() - accepted_at), 0)::float8 - charged, saved_step
        """,
        *attempt.key, outcome, error.model_dump(mode="json") if error else None,
    )  # fmt: skip
    return EndedAttempt(*row) if row else None


async def read_stop_requests(conn: Connection, attempt: Attempt) -> tuple[JobQueued, StopRequests]:
    """The attempt's job, locked, and what was requested of it."""
    row = await conn.fetchrow(
        """
        SELECT q.job::text, q.cancel_requested_at IS NOT NULL, q.pause_requested_at IS NOT NULL,
               CASE WHEN a.stop_decided_at IS NOT NULL THEN a.limited_by END, a.stop_sent, q.lost_attempts
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
