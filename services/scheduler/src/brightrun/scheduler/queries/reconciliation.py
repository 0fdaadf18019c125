"""Clusters' runs against our attempts."""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta

from brightrun.runtime.database import Connection, Pool
from brightrun.scheduler.models import Attempt, Key, Owner
from brightrun.scheduler.queries.attempts import ATTEMPT


async def find_owners(pool: Pool, keys: Collection[Key]) -> dict[Key, Owner]:
    """What we know of the attempts with these keys."""
    rows = await pool.fetch(
        """
        SELECT a.job_id, a.attempt, a.cluster, a.state, a.external_job_id, q.state = 'over' FROM attempts a
        JOIN unnest($1::uuid[], $2::int[]) AS keys (job_id, attempt) USING (job_id, attempt)
        JOIN queue q USING (job_id)
        """,
        [job_id for job_id, _ in keys], [attempt for _, attempt in keys],
    )  # fmt: skip
    return {(row[0], row[1]): Owner(*row[2:]) for row in rows}


async def find_settled(pool: Pool, cluster: str, age: timedelta) -> list[Attempt]:
    """Attempts that the cluster has had for so long."""
    rows = await pool.fetch(
        f"""
        SELECT {ATTEMPT} FROM attempts a WHERE cluster = $1 AND state = 'live' AND accepted_at < now() - $2::interval
        """,  # noqa: S608 - a constant
        cluster, age,
    )  # fmt: skip
    return [Attempt(*row) for row in rows]


async def find_abandoned(pool: Pool, cluster: str) -> list[Attempt]:
    """Attempts that were given up as lost, and whose runs were never stopped for sure."""
    rows = await pool.fetch(
        f"""
        SELECT {ATTEMPT} FROM attempts a WHERE cluster = $1 AND outcome = 'lost' AND external_job_id IS NOT NULL
          AND stop_heard IS DISTINCT FROM 'cancel'
        """,  # noqa: S608 - a constant
        cluster,
    )
    return [Attempt(*row) for row in rows]


async def note_stopped(pool: Pool, attempt: Attempt) -> None:
    """The cluster has acknowledged that the abandoned attempt's run ends, or does not have it."""
    await pool.execute(
        "UPDATE attempts SET stop_heard = 'cancel' WHERE job_id = $1 AND attempt = $2 AND state = 'over'", *attempt.key
    )


async def note_late_runs(conn: Connection, runs: Sequence[tuple[Attempt, str]]) -> None:
    """Remember which runs abandoned attempts turn out to be, so that they are stopped."""
    await conn.execute(
        """
        UPDATE attempts a SET external_job_id = run.external_job_id
        FROM unnest($1::uuid[], $2::int[], $3::text[]) AS run (job_id, attempt, external_job_id)
        WHERE (a.job_id, a.attempt) = (run.job_id, run.attempt) AND a.outcome = 'lost' AND a.external_job_id IS NULL
        """,
        [attempt.job_id for attempt, _ in runs], [attempt.attempt for attempt, _ in runs],
        [external_job_id for _, external_job_id in runs],
    )  # fmt: skip


async def find_silent(pool: Pool, silence: timedelta, asked: bool) -> Mapping[str, list[Attempt]]:
    """Attempts, by cluster, of clusters that have given no good answer for `silence`.

    `asked`: also of those that nobody asks any more, as no scheduler's settings name them.
    """
    rows = await pool.fetch(
        f"""
        SELECT {ATTEMPT} FROM clusters c JOIN attempts a ON a.cluster = c.name
        WHERE a.state IN ('submitting', 'live')
          AND (c.silent_since < now() - $1::interval
               OR ($2 AND greatest(c.answered_at, c.unanswered_at) < now() - $1::interval))
        """,  # noqa: S608 - a constant
        silence, asked,
    )  # fmt: skip
    attempts: dict[str, list[Attempt]] = {}
    for row in rows:
        attempts.setdefault(row["cluster"], []).append(Attempt(*row))
    return attempts
