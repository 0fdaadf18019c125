"""The queue: jobs that wait, and what became of them."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from brightrun.contracts.events import JobQueued
from brightrun.runtime.database import Connection, Pool
from brightrun.scheduler.models import Share, Waiting
from brightrun.scheduler.queries.shares import SHARE

WAITING = "w.job_id, w.user_id, w.gpu_type, w.gpus, w.home, w.urgency, w.queued_at, w.expected_seconds, w.overtaken"

SHAPES = """
    RECURSIVE shapes AS (
        (SELECT user_id, gpu_type, gpus, home FROM queue WHERE state = 'waiting'
         ORDER BY user_id, gpu_type, gpus, home LIMIT 1)
        UNION ALL
        SELECT next.* FROM shapes s CROSS JOIN LATERAL (
            SELECT q.user_id, q.gpu_type, q.gpus, q.home FROM queue q
            WHERE state = 'waiting'
              AND (q.user_id, q.gpu_type, q.gpus, q.home) > (s.user_id, s.gpu_type, s.gpus, s.home)
            ORDER BY q.user_id, q.gpu_type, q.gpus, q.home LIMIT 1) next)
"""
"""The users with waiting jobs and what these need; the index is skipped through, however long the queue is."""


async def insert_waiting(
    conn: Connection, jobs: Sequence[JobQueued], urgencies: Sequence[int], seconds: Sequence[float]
) -> list[tuple[UUID, int | None]]:
    """Put the jobs, with how long each is expected to train, into the queue. Users without any join the clock.

    Returns the new ones that were stopped before, and forgets that they were: each with the turn of the request to
    pause it, or None for a cancellation.
    """
    rows = await conn.fetch(
        """
        WITH new AS (
            SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::int[], $5::text[], $6::int[], $7::float8[],
                                 $8::timestamptz[])
                AS new (job_id, user_id, gpu_type, gpus, job, urgency, expected_seconds, queued_at)),
        joined AS (
            INSERT INTO users (user_id, virtual_time)
            SELECT DISTINCT user_id, moment FROM new, virtual_clock ORDER BY user_id
            ON CONFLICT (user_id) DO UPDATE SET virtual_time = excluded.virtual_time
            WHERE users.virtual_time < excluded.virtual_time
              AND NOT EXISTS (SELECT FROM queue w WHERE w.user_id = users.user_id AND w.state = 'waiting')),
        queued AS (
            INSERT INTO queue (job_id, user_id, gpu_type, gpus, job, urgency, expected_seconds, queued_at)
            SELECT job_id, user_id, gpu_type, gpus, job::jsonb, urgency, expected_seconds, queued_at FROM new
            ON CONFLICT DO NOTHING RETURNING job_id)
        DELETE FROM early_stops e USING queued WHERE e.job_id = queued.job_id RETURNING e.job_id, e.turn
        """,
        [job.job_id for job in jobs], [job.user_id for job in jobs],
        [job.gpu.type for job in jobs], [job.gpu.count for job in jobs],
        [job.model_dump_json() for job in jobs], urgencies, seconds, [job.occurred_at for job in jobs],
    )  # fmt: skip
    return [(row["job_id"], row["turn"]) for row in rows]


async def remember_cancellation(conn: Connection, job_id: UUID) -> None:
    """Keep a cancellation for a job that is not known yet."""
    await conn.execute(
        "INSERT INTO early_stops (job_id) VALUES ($1) ON CONFLICT (job_id) DO UPDATE SET turn = NULL", job_id
    )


async def mark_cancelled(conn: Connection, job_id: UUID) -> str | None:
    """Note that the user wants the job stopped, and return the state it is in; None when it is not known."""
    state: str | None = await conn.fetchval(
        """
        UPDATE queue SET cancel_requested_at = coalesce(cancel_requested_at, now())
        WHERE job_id = $1 RETURNING state
        """,
        job_id,
    )
    return state


async def read_heads(
    conn: Connection, visible: int, default_quota: int | None
) -> tuple[list[Waiting], list[Share], float]:
    """What may start now, at most the first `visible` jobs of each user and shape; their users' shares; the clock."""
    rows = await conn.fetch(
        f"""
        WITH {SHAPES},
        shares AS MATERIALIZED (SELECT {SHARE} FROM users u WHERE u.user_id IN (SELECT user_id FROM shapes))
        SELECT w.*, shares.*, clock.moment
        FROM shapes s JOIN shares USING (user_id) CROSS JOIN virtual_clock clock CROSS JOIN LATERAL (
            SELECT {WAITING} FROM queue w
            WHERE w.state = 'waiting' AND w.not_before <= now()
              AND (w.user_id, w.gpu_type, w.gpus, w.home) = (s.user_id, s.gpu_type, s.gpus, s.home)
            ORDER BY w.urgency DESC, w.queued_at, w.job_id LIMIT $2) w
        """,  # noqa: S608 - constants
        default_quota, visible,
    )  # fmt: skip
    jobs = [Waiting(*row[:9]) for row in rows]
    shares = {share.user_id: share for share in (Share(*row[9:14]) for row in rows)}
    return jobs, list(shares.values()), rows[0]["moment"] if rows else 0.0


async def read_waiting(pool: Pool, limit: int) -> list[Waiting]:
    """All jobs that wait, pausing ones too, oldest first."""
    rows = await pool.fetch(
        f"SELECT {WAITING} FROM queue w WHERE w.state = 'waiting' ORDER BY w.queued_at, w.job_id LIMIT $1",  # noqa: S608
        limit,
    )
    return [Waiting(*row) for row in rows]


async def read_shapes(pool: Pool) -> list[tuple[UUID, str, int]]:
    """The users with waiting jobs, and the GPUs that these need."""
    rows = await pool.fetch(f"WITH {SHAPES} SELECT DISTINCT user_id, gpu_type, gpus FROM shapes")  # noqa: S608
    return [tuple(row) for row in rows]


async def find_waiting_of(conn: Connection, user_id: UUID, gpu_type: str, gpus: int) -> list[UUID]:
    """The user's waiting jobs of that shape."""
    rows = await conn.fetch(
        "SELECT job_id FROM queue WHERE state = 'waiting' AND (user_id, gpu_type, gpus) = ($1, $2, $3) FOR UPDATE",
        user_id, gpu_type, gpus,
    )  # fmt: skip
    return [row["job_id"] for row in rows]


async def count_overtaken(conn: Connection, times: Mapping[UUID, int]) -> None:
    """Remember how often jobs were overtaken, more."""
    await conn.execute(
        """
        UPDATE queue SET overtaken = overtaken + times FROM unnest($1::uuid[], $2::int[]) AS passed (job_id, times)
        WHERE queue.job_id = passed.job_id AND state = 'waiting'
        """,
        list(times), list(times.values()),
    )  # fmt: skip


async def set_waiting(
    conn: Connection,
    job_id: UUID,
    last_attempt: int,
    pause: timedelta,
    *,
    home: str = "",
    resume_from: str | None = None,
    lost: bool = False,
) -> str | None:
    """Let the job wait for its next attempt; returns what its user wants instead: `cancel`, `pause`, or nothing.

    `home`: the cluster that it shall go back to; `resume_from`: the run there that it goes on from. `lost`: a cluster
    lost the last one.
    """
    wish: str | None = await conn.fetchval(
        """
        UPDATE queue SET state = 'waiting', attempt = $2, not_before = now() + $3::interval,
            home = CASE WHEN $4 = '' THEN home ELSE $4 END,
            resume_from = CASE WHEN $4 IN ('', home) THEN coalesce($5, resume_from) ELSE $5 END,
            losses = losses + $6::bool::int
        WHERE job_id = $1 AND state <> 'over'
        RETURNING CASE WHEN cancel_requested_at IS NOT NULL THEN 'cancel'
                       WHEN pause_requested_at IS NOT NULL THEN 'pause' END
        """,
        job_id, last_attempt, pause, home, resume_from, lost,
    )  # fmt: skip
    return wish


async def set_urgency(conn: Connection, job_id: UUID, urgency: int) -> bool:
    """Give a job another rank; False if there is no such job."""
    return await conn.execute("UPDATE queue SET urgency = $2 WHERE job_id = $1", job_id, urgency) == "UPDATE 1"


async def end_job(conn: Connection, job_id: UUID) -> bool:
    """Take the job out of the queue for good; False if it was over before."""
    return (
        await conn.execute("UPDATE queue SET state = 'over' WHERE job_id = $1 AND state <> 'over'", job_id)
        == "UPDATE 1"
    )


async def get_job(conn: Connection, job_id: UUID) -> JobQueued:
    """The job as it was queued."""
    return JobQueued.model_validate_json(await conn.fetchval("SELECT job::text FROM queue WHERE job_id = $1", job_id))


async def find_state(pool: Pool, user_id: UUID, job_id: UUID) -> str | None:
    """waiting, submitting, live or over; pausing when it waits for a while yet; None if the user has no such job."""
    state: str | None = await pool.fetchval(
        """
        SELECT CASE WHEN state = 'waiting' AND not_before > now() THEN 'pausing' ELSE state END
        FROM queue WHERE job_id = $1 AND user_id = $2
        """,
        job_id, user_id,
    )  # fmt: skip
    return state


async def count_by_state(pool: Pool) -> dict[str, int]:
    """How many jobs wait, pause before they are tried again, are being submitted, and run."""
    row = await pool.fetchrow(
        """
        SELECT (SELECT count(*) FROM queue WHERE state = 'waiting' AND not_before <= now()) AS waiting,
               (SELECT count(*) FROM queue WHERE state = 'waiting' AND not_before > now()) AS pausing,
               (SELECT count(*) FROM attempts WHERE state = 'submitting') AS submitting,
               (SELECT count(*) FROM attempts WHERE state = 'live') AS live
        """
    )
    return dict(row or {})
