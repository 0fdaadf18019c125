"""All SQL of the scheduler's slice."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from brightrun.contracts.events import JobQueued
from brightrun.contracts.training import JobError
from brightrun.runtime.database import Connection, Pool
from brightrun.scheduler.models import Attempt, Key

ATTEMPT = "a.attempt, a.cluster, a.fence, a.state, a.external_job_id, q.job"


async def lock_job(conn: Connection, job_id: UUID) -> None:
    """Let a job and its cancellation, which come on different topics, be handled one after the other."""
    await conn.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", str(job_id))


async def insert_waiting(conn: Connection, job: JobQueued) -> bool:
    """Put the job into the queue; False if it is there already."""
    tag = await conn.execute(
        """
        INSERT INTO queue (job_id, user_id, gpus, job, queued_at) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT DO NOTHING
        """,
        job.job_id, job.user_id, job.gpu.count, job.model_dump(mode="json"), job.occurred_at,
    )  # fmt: skip
    return tag == "INSERT 0 1"


async def wake(conn: Connection | Pool, loop: str) -> None:
    """Let a loop of any scheduler look again, once this transaction commits."""
    await conn.execute("SELECT pg_notify(current_schema() || '.' || $1, '')", loop)


async def remember_cancellation(conn: Connection, job_id: UUID) -> None:
    """Keep a cancellation for a job that is not known yet."""
    await conn.execute("INSERT INTO early_cancellations (job_id) VALUES ($1) ON CONFLICT DO NOTHING", job_id)


async def take_cancellation(conn: Connection, job_id: UUID) -> bool:
    """Whether the job was cancelled before it was known; forgets it."""
    return await conn.execute("DELETE FROM early_cancellations WHERE job_id = $1", job_id) == "DELETE 1"


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


async def take_lapsed(conn: Connection, cluster: str, lease: timedelta) -> Attempt | None:
    """Take over a submission whose holder is gone, with a new fence."""
    row = await conn.fetchrow(
        f"""
        UPDATE attempts a SET fence = a.fence + 1, leased_until = now() + $2::interval
        FROM queue q
        WHERE q.job_id = a.job_id AND (a.job_id, a.attempt) = (
            SELECT job_id, attempt FROM attempts
            WHERE state = 'submitting' AND cluster = $1 AND leased_until < now()
            ORDER BY leased_until FOR UPDATE SKIP LOCKED LIMIT 1)
        RETURNING {ATTEMPT}
        """,  # noqa: S608 - a constant
        cluster, lease,
    )  # fmt: skip
    return _attempt(row) if row else None


async def take_waiting(conn: Connection, cluster: str, free_gpus: int, lease: timedelta) -> Attempt | None:
    """Start an attempt of the oldest waiting job that fits `free_gpus`; None if none does.

    An attempt that was given back starts again under its number, with a new fence.
    """
    row = await conn.fetchrow(
        f"""
        WITH q AS (
            UPDATE queue SET state = 'submitting', attempt = attempt + 1
            WHERE job_id = (
                SELECT job_id FROM queue
                WHERE state = 'waiting' AND gpus <= $1 AND not_before <= now()
                ORDER BY queued_at, job_id FOR UPDATE SKIP LOCKED LIMIT 1)
            RETURNING job_id, attempt, job),
        a AS (
            INSERT INTO attempts AS known (job_id, attempt, cluster, leased_until)
            SELECT job_id, attempt, $2, now() + $3::interval FROM q
            ON CONFLICT (job_id, attempt) DO UPDATE SET
                state = 'submitting', fence = known.fence + 1,
                cluster = excluded.cluster, leased_until = excluded.leased_until
            RETURNING known.*)
        SELECT {ATTEMPT} FROM a, q
        """,  # noqa: S608 - a constant
        free_gpus, cluster, lease,
    )  # fmt: skip
    return _attempt(row) if row else None


async def set_live(conn: Connection, attempt: Attempt, external_job_id: str) -> bool:
    """Record which run the attempt is; True if that has started the job. Needs no fence: a cluster has one run of it.

    A run of a job that was cancelled meanwhile is recorded too, so that it is stopped.
    """
    tag = await conn.execute(
        """
        UPDATE attempts SET state = 'live', external_job_id = $3
        WHERE job_id = $1 AND attempt = $2 AND state IN ('submitting', 'given_back')
        """,
        *attempt.key, external_job_id,
    )  # fmt: skip
    if tag == "UPDATE 0":
        return False
    tag = await conn.execute(
        "UPDATE queue SET state = 'live', attempt = $2 WHERE job_id = $1 AND state <> 'over'", *attempt.key
    )
    return tag == "UPDATE 1"


async def shorten_lease(conn: Connection, attempt: Attempt, pause: timedelta) -> None:
    """Let the submission be repeated after `pause`."""
    await conn.execute(
        """
        UPDATE attempts SET leased_until = now() + $4::interval
        WHERE job_id = $1 AND attempt = $2 AND fence = $3 AND state = 'submitting'
        """,
        *attempt.key, attempt.fence, pause,
    )  # fmt: skip


async def give_back(conn: Connection, attempt: Attempt) -> bool:
    """Release an attempt that the cluster did not take; False if the fence has moved on.

    It stays known, should an earlier submission of it reach the cluster late.
    """
    tag = await conn.execute(
        """
        UPDATE attempts SET state = 'given_back'
        WHERE job_id = $1 AND attempt = $2 AND fence = $3 AND state = 'submitting'
        """,
        *attempt.key, attempt.fence,
    )  # fmt: skip
    return tag == "UPDATE 1"


async def reject_attempt(conn: Connection, attempt: Attempt, error: JobError) -> bool:
    """Close an attempt that the cluster refused; False if the fence has moved on."""
    tag = await conn.execute(
        """
        UPDATE attempts SET state = 'over', outcome = 'failed', error = $4
        WHERE job_id = $1 AND attempt = $2 AND fence = $3 AND state = 'submitting'
        """,
        *attempt.key, attempt.fence, error.model_dump(mode="json"),
    )  # fmt: skip
    return tag == "UPDATE 1"


async def end_attempt(conn: Connection, attempt: Attempt, outcome: str, error: JobError | None) -> bool:
    """Close an attempt whose run is over; False if it was closed before."""
    tag = await conn.execute(
        """
        UPDATE attempts SET state = 'over', outcome = $3, error = $4
        WHERE job_id = $1 AND attempt = $2 AND state <> 'over'
        """,
        *attempt.key, outcome, error.model_dump(mode="json") if error else None,
    )  # fmt: skip
    return tag == "UPDATE 1"


async def set_waiting(conn: Connection, job_id: UUID, last_attempt: int, pause: timedelta) -> bool:
    """Let the job wait for its next attempt; True if its cancellation came in the meantime."""
    return bool(
        await conn.fetchval(
            """
            UPDATE queue SET state = 'waiting', attempt = $2, not_before = now() + $3::interval
            WHERE job_id = $1 AND state <> 'over' RETURNING cancel_requested_at IS NOT NULL
            """,
            job_id, last_attempt, pause,
        )
    )  # fmt: skip


async def end_job(conn: Connection, job_id: UUID) -> bool:
    """Take the job out of the queue for good; False if it was over before."""
    return (
        await conn.execute("UPDATE queue SET state = 'over' WHERE job_id = $1 AND state <> 'over'", job_id)
        == "UPDATE 1"
    )


async def get_job(conn: Connection, job_id: UUID) -> JobQueued:
    """The job as it was queued."""
    return JobQueued.model_validate(await conn.fetchval("SELECT job FROM queue WHERE job_id = $1", job_id))


async def find_attempts(conn: Connection | Pool, keys: Collection[Key]) -> Sequence[Attempt]:
    """The attempts with these keys; unknown ones are left out."""
    rows = await conn.fetch(
        f"""
        SELECT {ATTEMPT} FROM attempts a JOIN queue q USING (job_id)
        WHERE (a.job_id, a.attempt) IN (SELECT * FROM unnest($1::uuid[], $2::int[]))
        """,  # noqa: S608 - a constant
        [job_id for job_id, _ in keys], [attempt for _, attempt in keys],
    )  # fmt: skip
    return [_attempt(row) for row in rows]


async def take_cancelling(pool: Pool, cluster: str, repeat: timedelta) -> Sequence[Attempt]:
    """Live attempts whose cancellation is due to be sent, or sent again."""
    rows = await pool.fetch(
        f"""
        UPDATE attempts a SET cancel_sent_at = now()
        FROM queue q
        WHERE q.job_id = a.job_id AND a.state = 'live' AND a.cluster = $1 AND q.cancel_requested_at IS NOT NULL
          AND (a.cancel_sent_at IS NULL OR a.cancel_sent_at < now() - $2::interval)
        RETURNING {ATTEMPT}
        """,  # noqa: S608 - a constant
        cluster, repeat,
    )  # fmt: skip
    return [_attempt(row) for row in rows]


async def read_cursor(pool: Pool, cluster: str) -> int:
    """Up to where the cluster's stream of events was heard."""
    return await pool.fetchval("SELECT cursor FROM clusters WHERE name = $1", cluster) or 0


async def move_cursor(conn: Connection, cluster: str, before: int, after: int) -> None:
    """Remember up to where the stream was heard from `before` on; nothing if another scheduler has moved it since."""
    await conn.execute(
        """
        INSERT INTO clusters (name, cursor) VALUES ($1, $3)
        ON CONFLICT (name) DO UPDATE SET cursor = excluded.cursor WHERE clusters.cursor = $2
        """,
        cluster, before, after,
    )  # fmt: skip


async def read_position(pool: Pool, user_id: UUID, job_id: UUID) -> tuple[bool, int | None]:
    """Whether the user has such a job, and its place among the waiting ones (1 is next); None when it does not wait."""
    row = await pool.fetchrow(
        """
        SELECT CASE WHEN q.state = 'waiting' THEN
            (SELECT count(*) FROM queue w
             WHERE w.state = 'waiting' AND (w.queued_at, w.job_id) <= (q.queued_at, q.job_id)) END AS position
        FROM queue q WHERE q.job_id = $1 AND q.user_id = $2
        """,
        job_id, user_id,
    )  # fmt: skip
    return (True, row["position"]) if row else (False, None)


async def has_waiting(pool: Pool) -> bool:
    """Whether anything could be submitted now, or has to be submitted again."""
    return bool(
        await pool.fetchval(
            """
            SELECT EXISTS (SELECT FROM queue WHERE state = 'waiting' AND not_before <= now())
                OR EXISTS (SELECT FROM attempts WHERE state = 'submitting' AND leased_until < now())
            """
        )
    )


def _attempt(row: Any) -> Attempt:
    return Attempt(**{**row, "job": JobQueued.model_validate(row["job"])})
