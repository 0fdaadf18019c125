"""Jobs that shall pause, go on, or end, and their runs."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from brightrun.contracts.cluster_api import StopSignal
from brightrun.contracts.events import JobQueued, Segment
from brightrun.runtime.database import Connection, Pool
from brightrun.scheduler.models import Attempt, Stopping, Wishes
from brightrun.scheduler.queries.attempts import ATTEMPT

STOPPING = f"""
    {ATTEMPT}, q.state = 'over', q.cancel_requested_at IS NOT NULL, q.pause_requested_at IS NOT NULL,
    a.stop_decided_at, a.stop_sent, a.stop_sent_at, a.stop_heard
"""


async def note_pause(conn: Connection, job_id: UUID, turn: int) -> str | None:
    """Note that the user wants the job paused and return the state it is in; None when that is not to be heeded.

    A request for a job that is not known yet is kept for it.
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
            INSERT INTO early_stops (job_id, turn) SELECT $1, $2
            WHERE NOT EXISTS (SELECT FROM queue WHERE job_id = $1) ON CONFLICT DO NOTHING
            """,
            job_id, turn,
        )  # fmt: skip
    return state


async def note_resume(conn: Connection, job_id: UUID, turn: int) -> bool:
    """Let the job run; True if it was paused and waits now. Its user joins the clock if nothing else of it waits."""
    before = await conn.fetchrow(
        """
        UPDATE queue q SET pause_turn = $2, pause_requested_at = NULL, not_before = now(),
            state = CASE WHEN before.state = 'paused' THEN 'waiting' ELSE before.state END
        FROM queue before WHERE q.job_id = $1 AND before.job_id = $1 AND q.pause_turn < $2
        RETURNING before.state, q.user_id
        """,
        job_id, turn,
    )  # fmt: skip
    if before is None or before["state"] != "paused":
        return False
    await conn.execute(
        """
        UPDATE users SET virtual_time = moment FROM virtual_clock
        WHERE user_id = $1 AND virtual_time < moment
          AND NOT EXISTS (SELECT FROM queue WHERE user_id = $1 AND state = 'waiting' AND job_id <> $2)
        """,
        before["user_id"], job_id,
    )  # fmt: skip
    return True


async def pause_waiting(conn: Connection, job_id: UUID) -> int | None:
    """Let a waiting job pause, which uses up its next attempt's number: that is returned; None if it does not wait."""
    attempt: int | None = await conn.fetchval(
        """
        UPDATE queue SET state = 'paused', attempt = attempt + 1 WHERE job_id = $1 AND state = 'waiting'
        RETURNING attempt
        """,
        job_id,
    )
    return attempt


async def pause_ended(conn: Connection, attempt: Attempt, home: str, resume_from: str | None) -> bool:
    """Let the job pause whose attempt has ended; `home` and `resume_from` as in `set_waiting`. False if it is over."""
    tag = await conn.execute(
        """
        UPDATE queue SET state = 'paused', attempt = $2, home = CASE WHEN $3 = '' THEN home ELSE $3 END,
            resume_from = CASE WHEN $3 IN ('', home) THEN coalesce($4, resume_from) ELSE $4 END
        WHERE job_id = $1 AND state <> 'over'
        """,
        attempt.job_id, attempt.attempt, home, resume_from,
    )  # fmt: skip
    return tag == "UPDATE 1"


async def read_wishes(conn: Connection, attempt: Attempt) -> tuple[JobQueued, Wishes, list[Segment]]:
    """The attempt's job, what was wished of it, and what is billed of the job's other attempts."""
    row = await conn.fetchrow(
        """
        SELECT q.job::text AS job, q.cancel_requested_at IS NOT NULL AS cancelled,
               q.pause_requested_at IS NOT NULL AS paused,
               CASE WHEN a.stop_decided_at IS NOT NULL THEN a.stop_for END AS stopped_for, a.stop_sent, q.losses
        FROM queue q JOIN attempts a USING (job_id) WHERE q.job_id = $1 AND a.attempt = $2 FOR UPDATE OF q
        """,
        *attempt.key,
    )
    assert row is not None  # noqa: S101 - the attempt's row refers to the job's
    others = await conn.fetch(
        """
        SELECT attempt, started_at, finished_at FROM attempts
        WHERE job_id = $1 AND attempt <> $2 AND billed ORDER BY attempt
        """,
        *attempt.key,
    )
    return JobQueued.model_validate_json(row["job"]), Wishes(*row[1:]), [Segment(**dict(other)) for other in others]


async def read_stopping(pool: Pool, cluster: str) -> tuple[list[Stopping], datetime]:
    """The cluster's live runs that shall end, and the moment."""
    rows = await pool.fetch(
        f"""
        SELECT {STOPPING} FROM queue q JOIN attempts a USING (job_id)
        WHERE a.state = 'live' AND a.cluster = $1 AND q.state IN ('submitting', 'live')
          AND (q.cancel_requested_at IS NOT NULL OR q.pause_requested_at IS NOT NULL)
        UNION
        SELECT {STOPPING} FROM attempts a JOIN queue q USING (job_id)
        WHERE a.state = 'live' AND a.cluster = $1 AND a.stop_decided_at IS NOT NULL
        """,  # noqa: S608 - a constant
        cluster,
    )
    return [Stopping(Attempt(*row[:7]), *row[7:]) for row in rows], await pool.fetchval("SELECT now()")


async def claim_order(pool: Pool, run: Stopping, order: StopSignal) -> bool:
    """Note that the run is told so now; False if another scheduler has just told it, or it has ended."""
    tag = await pool.execute(
        """
        UPDATE attempts SET stop_sent = $3, stop_sent_at = now()
        WHERE job_id = $1 AND attempt = $2 AND state = 'live' AND stop_sent_at IS NOT DISTINCT FROM $4
        """,
        *run.attempt.key, order, run.sent_at,
    )  # fmt: skip
    return tag == "UPDATE 1"


async def note_heard(pool: Pool, run: Stopping, order: StopSignal) -> None:
    """The cluster has acknowledged the order; its status is worth being looked at."""
    await pool.execute(
        "UPDATE attempts SET stop_heard = $3, poll_at = now() WHERE job_id = $1 AND attempt = $2 AND state = 'live'",
        *run.attempt.key, order,
    )  # fmt: skip


async def find_unheard(conn: Connection, patience: timedelta) -> list[Attempt]:
    """Attempts of cancelled jobs whose clusters have said nothing to that for so long."""
    rows = await conn.fetch(
        f"""
        SELECT {ATTEMPT} FROM queue q JOIN attempts a ON a.job_id = q.job_id AND a.attempt = q.attempt
        WHERE q.state IN ('submitting', 'live') AND q.cancel_requested_at < now() - $1::interval
          AND (a.state = 'submitting' OR (a.state = 'live' AND a.stop_sent = 'cancel'
               AND a.stop_sent_at < now() - $1::interval / 2 AND a.stop_heard IS DISTINCT FROM 'cancel'))
        ORDER BY a.job_id, a.attempt FOR UPDATE OF a SKIP LOCKED
        """,  # noqa: S608 - a constant
        patience,
    )
    return [Attempt(*row) for row in rows]


async def take_limited(conn: Connection) -> Sequence[tuple[JobQueued, str, datetime]]:
    """Decide that the runs whose time has come shall finish: each job, the limit, and when its run has started."""
    rows: list[Any] = await conn.fetch(
        """
        UPDATE attempts a SET stop_decided_at = now()
        FROM queue q, (
            SELECT job_id, attempt FROM attempts WHERE state = 'live' AND stop_decided_at IS NULL AND stop_at <= now()
            ORDER BY job_id, attempt FOR UPDATE SKIP LOCKED) due
        WHERE (a.job_id, a.attempt) = (due.job_id, due.attempt) AND q.job_id = a.job_id
        RETURNING q.job::text, a.stop_for, a.started_at
        """
    )
    return [(JobQueued.model_validate_json(job), limit, started_at) for job, limit, started_at in rows]
