"""Jobs in the queue."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from brightrun.contracts.events import JobQueued
from brightrun.runtime.database import Connection, Pool
from brightrun.scheduler.queue.models import UserShare, WaitingJob
from brightrun.scheduler.queue.queries.shares import SHARE
from brightrun.scheduler.states import AttemptState, JobState

WAITING_JOB = """
    w.job_id, w.user_id, w.gpu_type, w.gpus, w.preferred_cluster, w.priority, w.queued_at, w.expected_seconds,
    w.times_bypassed
"""

SHAPES = f"""
    RECURSIVE shapes AS (
        (SELECT user_id, gpu_type, gpus, preferred_cluster FROM queue WHERE state = '{JobState.WAITING}'
         ORDER BY user_id, gpu_type, gpus, preferred_cluster LIMIT 1)
        UNION ALL
        SELECT next.* FROM shapes s CROSS JOIN LATERAL (
            SELECT q.user_id, q.gpu_type, q.gpus, q.preferred_cluster FROM queue q
            WHERE state = '{JobState.WAITING}' AND (q.user_id, q.gpu_type, q.gpus, q.preferred_cluster)
                > (s.user_id, s.gpu_type, s.gpus, s.preferred_cluster)
            ORDER BY q.user_id, q.gpu_type, q.gpus, q.preferred_cluster LIMIT 1) next)
"""
"""The users with waiting jobs and what these need; the index is skipped through, however long the queue is."""


class EarlyStop(NamedTuple):
    """A stop request that came before its job: to pause, the `turn`-th of its kind, or to cancel (None)."""

    job_id: UUID
    turn: int | None


class Position(NamedTuple):
    """`backing_off`: the job waits for the pause before its next attempt to end."""

    state: JobState
    backing_off: bool


async def insert_jobs(
    conn: Connection, jobs: Sequence[JobQueued], priorities: Sequence[int], seconds: Sequence[float]
) -> list[EarlyStop]:
    """Put new jobs, with how long each is expected to train, into the queue. Users without any join the clock.

    Returns the stop requests that came before their jobs; they are noted with the jobs, and deleted.
    """
    rows = await conn.fetch(
        f"""
        WITH new AS (
            SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::int[], $5::text[], $6::int[], $7::float8[],
                                 $8::timestamptz[])
                AS new (job_id, user_id, gpu_type, gpus, job, priority, expected_seconds, queued_at)),
        joined AS (
            INSERT INTO users (user_id, virtual_time)
            SELECT DISTINCT user_id, moment FROM new, virtual_clock ORDER BY user_id
            ON CONFLICT (user_id) DO UPDATE SET virtual_time = excluded.virtual_time
            WHERE users.virtual_time < excluded.virtual_time AND NOT EXISTS (
                SELECT FROM queue w WHERE w.user_id = users.user_id AND w.state = '{JobState.WAITING}')),
        queued AS (
            INSERT INTO queue (job_id, user_id, gpu_type, gpus, job, state, priority, expected_seconds, queued_at,
                               pause_turn, pause_requested_at, cancel_requested_at)
            SELECT job_id, user_id, gpu_type, gpus, job::jsonb, '{JobState.WAITING}', priority, expected_seconds,
                queued_at, coalesce(turn, 0), CASE WHEN turn IS NOT NULL THEN now() END,
                CASE WHEN turn IS NULL THEN early.requested_at END
            FROM new LEFT JOIN early_stop_requests early USING (job_id)
            ON CONFLICT DO NOTHING RETURNING job_id)
        DELETE FROM early_stop_requests early USING queued WHERE early.job_id = queued.job_id
        RETURNING early.job_id, early.turn
        """,
        [job.job_id for job in jobs], [job.user_id for job in jobs],
        [job.gpu.type for job in jobs], [job.gpu.count for job in jobs],
        [job.model_dump_json() for job in jobs], priorities, seconds, [job.occurred_at for job in jobs],
    )  # fmt: skip
    return [EarlyStop(*row) for row in rows]


async def read_heads(
    conn: Connection, visible: int, default_quota: int | None
) -> tuple[list[WaitingJob], list[UserShare], float]:
    """The first `visible` jobs of each user and shape that may start now; their users' shares; the virtual clock."""
    rows = await conn.fetch(
        f"""
        WITH {SHAPES},
        shares AS MATERIALIZED (SELECT {SHARE} FROM users u WHERE u.user_id IN (SELECT user_id FROM shapes))
        SELECT w.*, shares.*, clock.moment
        FROM shapes s JOIN shares USING (user_id) CROSS JOIN virtual_clock clock CROSS JOIN LATERAL (
            SELECT {WAITING_JOB} FROM queue w
            WHERE w.state = '{JobState.WAITING}' AND w.not_before <= now()
              AND (w.user_id, w.gpu_type, w.gpus, w.preferred_cluster)
                = (s.user_id, s.gpu_type, s.gpus, s.preferred_cluster)
            ORDER BY w.priority DESC, w.queued_at, w.job_id LIMIT $2) w
        """,
        default_quota, visible,
    )  # fmt: skip
    jobs = [WaitingJob(*row[:9]) for row in rows]
    shares = {share.user_id: share for share in (UserShare(*row[9:14]) for row in rows)}
    return jobs, list(shares.values()), rows[0]["moment"] if rows else 0.0


async def count_bypasses(conn: Connection, times: Mapping[UUID, int]) -> None:
    """Add to how often waiting jobs were bypassed."""
    await conn.execute(
        f"""
        UPDATE queue SET times_bypassed = times_bypassed + times
        FROM unnest($1::uuid[], $2::int[]) AS bypassed (job_id, times)
        WHERE queue.job_id = bypassed.job_id AND state = '{JobState.WAITING}'
        """,
        list(times), list(times.values()),
    )  # fmt: skip


async def read_shapes(pool: Pool) -> list[tuple[UUID, str, int]]:
    """The users with waiting jobs, and the GPUs that these need."""
    return [
        tuple(row) for row in await pool.fetch(f"WITH {SHAPES} SELECT DISTINCT user_id, gpu_type, gpus FROM shapes")
    ]


async def lock_waiting(conn: Connection, user_id: UUID, gpu_type: str, gpus: int) -> list[JobQueued]:
    """The user's waiting jobs of that shape, locked."""
    rows = await conn.fetch(
        f"""
        SELECT job::text FROM queue WHERE state = '{JobState.WAITING}' AND (user_id, gpu_type, gpus) = ($1, $2, $3)
        FOR UPDATE
        """,
        user_id, gpu_type, gpus,
    )  # fmt: skip
    return [JobQueued.model_validate_json(row["job"]) for row in rows]


async def set_priority(conn: Connection, job_id: UUID, priority: int) -> bool:
    """Give a job another rank; False if there is no such job."""
    return await conn.execute("UPDATE queue SET priority = $2 WHERE job_id = $1", job_id, priority) == "UPDATE 1"


async def find_position(pool: Pool, user_id: UUID, job_id: UUID) -> Position | None:
    """The job's state; None if the user has no such job."""
    row = await pool.fetchrow(
        "SELECT state, not_before > now() FROM queue WHERE job_id = $1 AND user_id = $2", job_id, user_id
    )
    return Position(JobState(row[0]), row[1]) if row else None


async def count_by_state(pool: Pool) -> dict[str, int]:
    """How many jobs wait, pause before they are tried again, are being submitted, and run."""
    row = await pool.fetchrow(
        f"""
        SELECT (SELECT count(*) FROM queue WHERE state = '{JobState.WAITING}' AND not_before <= now()) AS waiting,
               (SELECT count(*) FROM queue WHERE state = '{JobState.WAITING}' AND not_before > now()) AS backing_off,
               (SELECT count(*) FROM attempts WHERE state = '{AttemptState.SUBMITTING}') AS submitting,
               (SELECT count(*) FROM attempts WHERE state = '{AttemptState.LIVE}') AS live
        """
    )
    return dict(row or {})
