"""SQL of stop requests and stop signals."""

from datetime import datetime, timedelta
from uuid import UUID

from brightrun.contracts.cluster_api import StopSignal
from brightrun.runtime.database import Connection, Pool
from brightrun.scheduler.models import ATTEMPT_COLUMNS, Attempt
from brightrun.scheduler.states import ON_CLUSTER, RESUME_JOB, AttemptState, JobState
from brightrun.scheduler.stopping.models import StoppingRun

STOPPING_RUN = f"""
    {ATTEMPT_COLUMNS}, q.state = '{JobState.OVER}', q.cancel_requested_at IS NOT NULL,
    q.pause_requested_at IS NOT NULL, q.finish_requested_at IS NOT NULL, a.stop_decided_at, a.stop_sent,
    a.stop_sent_at, a.stop_acknowledged
"""
LIVE = f"state = '{AttemptState.LIVE}'"


async def request_cancel(conn: Connection, job_id: UUID) -> JobState | None:
    """Note the request and return the job's state; None, and the request is kept, when the job is not known yet."""
    state: str | None = await conn.fetchval(
        """
        UPDATE queue SET cancel_requested_at = coalesce(cancel_requested_at, now())
        WHERE job_id = $1 RETURNING state
        """,
        job_id,
    )
    if state is None:
        await conn.execute(
            "INSERT INTO early_stop_requests (job_id) VALUES ($1) ON CONFLICT (job_id) DO UPDATE SET turn = NULL",
            job_id,
        )
        return None
    return JobState(state)


async def request_pause(conn: Connection, job_id: UUID, turn: int) -> JobState | None:
    """Note the request and return the job's state; None when a newer request is known.

    A request for a job that is not known yet is kept.
    """
    state: str | None = await conn.fetchval(
        """
        UPDATE queue SET pause_turn = $2, pause_requested_at = coalesce(pause_requested_at, now())
        WHERE job_id = $1 AND pause_turn < $2 RETURNING state
        """,
        job_id, turn,
    )  # fmt: skip
    if state is None:
        await conn.execute(
            """
            INSERT INTO early_stop_requests (job_id, turn) SELECT $1, $2
            WHERE NOT EXISTS (SELECT FROM queue WHERE job_id = $1) ON CONFLICT DO NOTHING
            """,
            job_id, turn,
        )  # fmt: skip
        return None
    return JobState(state)


async def request_finish(conn: Connection, job_id: UUID) -> None:
    """Note the request; it also holds for the next attempt, if a cluster loses this one."""
    await conn.execute(
        "UPDATE queue SET finish_requested_at = coalesce(finish_requested_at, now()) WHERE job_id = $1", job_id
    )


async def request_resume(conn: Connection, job_id: UUID, turn: int) -> bool:
    """Let the job run; True if it was paused and waits now. Its user joins the clock if no other job of it waits."""
    before = await conn.fetchrow(
        f"""
        UPDATE queue q SET pause_turn = $2, pause_requested_at = NULL, not_before = now(),
            state = CASE WHEN before.state IN {RESUME_JOB.allowed} THEN '{RESUME_JOB.target}' ELSE before.state END
        FROM queue before WHERE q.job_id = $1 AND before.job_id = $1 AND q.pause_turn < $2
        RETURNING before.state, q.user_id
        """,
        job_id, turn,
    )  # fmt: skip
    if before is None or before["state"] not in RESUME_JOB.sources:
        return False
    await conn.execute(
        f"""
        UPDATE users SET virtual_time = moment FROM virtual_clock
        WHERE user_id = $1 AND virtual_time < moment AND NOT EXISTS (
            SELECT FROM queue WHERE user_id = $1 AND state = '{JobState.WAITING}' AND job_id <> $2)
        """,
        before["user_id"], job_id,
    )  # fmt: skip
    return True


async def read_stopping(pool: Pool, cluster: str) -> tuple[list[StoppingRun], datetime]:
    """The cluster's live runs that are to end, and the current time."""
    rows = await pool.fetch(
        f"""
        SELECT {STOPPING_RUN} FROM queue q JOIN attempts a USING (job_id)
        WHERE a.{LIVE} AND a.cluster = $1 AND q.state IN {ON_CLUSTER}
          AND (q.cancel_requested_at IS NOT NULL OR q.pause_requested_at IS NOT NULL
               OR q.finish_requested_at IS NOT NULL)
        UNION
        SELECT {STOPPING_RUN} FROM attempts a JOIN queue q USING (job_id)
        WHERE a.{LIVE} AND a.cluster = $1 AND a.stop_decided_at IS NOT NULL
        """,
        cluster,
    )
    return [StoppingRun(Attempt(*row[:7]), *row[7:]) for row in rows], await pool.fetchval("SELECT now()")


async def claim_signal(pool: Pool, run: StoppingRun, signal: StopSignal) -> bool:
    """Note that the signal is sent now; False if another scheduler has just sent one, or the run has ended."""
    tag = await pool.execute(
        f"""
        UPDATE attempts SET stop_sent = $3, stop_sent_at = now()
        WHERE job_id = $1 AND attempt = $2 AND {LIVE} AND stop_sent_at IS NOT DISTINCT FROM $4
        """,
        *run.attempt.key, signal, run.sent_at,
    )  # fmt: skip
    return tag == "UPDATE 1"


async def acknowledge_signal(pool: Pool, run: StoppingRun, signal: StopSignal) -> None:
    """The cluster has acknowledged the signal; the run is polled at once."""
    await pool.execute(
        f"UPDATE attempts SET stop_acknowledged = $3, poll_at = now() WHERE job_id = $1 AND attempt = $2 AND {LIVE}",
        *run.attempt.key, signal,
    )  # fmt: skip


async def find_unacknowledged(conn: Connection, deadline: timedelta) -> list[Attempt]:
    """Attempts of cancelled jobs whose clusters have not acknowledged that within the deadline."""
    rows = await conn.fetch(
        f"""
        SELECT {ATTEMPT_COLUMNS} FROM queue q JOIN attempts a ON a.job_id = q.job_id AND a.attempt = q.attempt
        WHERE q.state IN {ON_CLUSTER} AND q.cancel_requested_at < now() - $1::interval
          AND (a.state = '{AttemptState.SUBMITTING}' OR (a.{LIVE} AND a.stop_sent = 'cancel'
               AND a.stop_sent_at < now() - $1::interval / 2 AND a.stop_acknowledged IS DISTINCT FROM 'cancel'))
        ORDER BY a.job_id, a.attempt FOR UPDATE OF a SKIP LOCKED
        """,
        deadline,
    )
    return [Attempt(*row) for row in rows]
