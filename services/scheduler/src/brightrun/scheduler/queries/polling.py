"""Runs whose status is asked for: who asks when, and what it has shown."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from brightrun.runtime.database import Connection, Pool
from brightrun.scheduler.models import Attempt, Polled, Watched
from brightrun.scheduler.queries.watch import WATCHED, watched_of


class Due(NamedTuple):
    """A run to be asked about by us until `claimed_until`; `ending`: it has been told to end."""

    watched: Watched
    before: dict[str, Any] | None
    ending: bool
    claimed_until: datetime

    @property
    def attempt(self) -> Attempt:
        """The run's attempt."""
        return self.watched.attempt

    @property
    def polled(self) -> Polled:
        """What it has shown so far."""
        return Polled.model_validate(self.before or {})


async def take_due(pool: Pool, cluster: str, lease: timedelta, limit: int) -> list[Due]:
    """Claim runs that are due to be asked about, those that are overdue most first."""
    rows = await pool.fetch(
        f"""
        WITH due AS (
            SELECT job_id, attempt FROM attempts WHERE cluster = $1 AND state = 'live' AND poll_at <= now()
            ORDER BY poll_at LIMIT $3 FOR UPDATE SKIP LOCKED)
        UPDATE attempts a SET poll_at = now() + $2::interval FROM due
        WHERE (a.job_id, a.attempt) = (due.job_id, due.attempt)
        RETURNING {WATCHED}, a.polled, a.stop_heard IS NOT NULL AS ending, a.poll_at
        """,  # noqa: S608 - a constant
        cluster, lease, limit,
    )  # fmt: skip
    return [Due(watched_of(row), row["polled"], row["ending"], row["poll_at"]) for row in rows]


async def count_live(pool: Pool, cluster: str) -> int:
    """How many runs are asked about."""
    count: int = await pool.fetchval("SELECT count(*) FROM attempts WHERE cluster = $1 AND state = 'live'", cluster)
    return count


async def save_poll(conn: Connection, due: Due, polled: Polled, pause: timedelta) -> bool:
    """Remember what the answer has shown, and ask again after `pause`, or at once if somebody wished so meanwhile.

    False, and nothing is changed, if the run has ended or somebody else has written down a newer answer.
    """
    tag = await conn.execute(
        """
        UPDATE attempts SET polled = $3,
            poll_at = CASE WHEN poll_at >= $5 THEN now() + $4::interval ELSE poll_at END
        WHERE job_id = $1 AND attempt = $2 AND state = 'live' AND polled IS NOT DISTINCT FROM $6
        """,
        *due.attempt.key, polled.model_dump(mode="json"), pause, due.claimed_until, due.before,
    )  # fmt: skip
    return tag == "UPDATE 1"


async def hasten(pool: Pool, external_job_id: str) -> list[str]:
    """Have the live runs with this id asked about at once; returns their clusters."""
    rows = await pool.fetch(
        "UPDATE attempts SET poll_at = now() WHERE external_job_id = $1 AND state = 'live' RETURNING cluster",
        external_job_id,
    )
    return [row["cluster"] for row in rows]
