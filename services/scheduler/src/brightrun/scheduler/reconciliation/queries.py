"""SQL of reconciliation."""

from collections.abc import Collection, Mapping
from datetime import timedelta

from brightrun.runtime.database import Pool
from brightrun.scheduler.models import ATTEMPT_COLUMNS, Attempt, Key
from brightrun.scheduler.reconciliation.models import Owner
from brightrun.scheduler.states import HOLDS_GPUS, AttemptState, JobState


async def find_owners(pool: Pool, keys: Collection[Key]) -> dict[Key, Owner]:
    """What is known of the attempts with these keys."""
    rows = await pool.fetch(
        f"""
        SELECT a.job_id, a.attempt, a.cluster, a.state, a.external_job_id, q.state = '{JobState.OVER}' FROM attempts a
        JOIN unnest($1::uuid[], $2::int[]) AS keys (job_id, attempt) USING (job_id, attempt)
        JOIN queue q USING (job_id)
        """,
        [job_id for job_id, _ in keys], [attempt for _, attempt in keys],
    )  # fmt: skip
    return {(row[0], row[1]): Owner(*row[2:]) for row in rows}


async def find_settled(pool: Pool, cluster: str, age: timedelta) -> list[Attempt]:
    """Live attempts that the cluster accepted before `age`."""
    rows = await pool.fetch(
        f"""
        SELECT {ATTEMPT_COLUMNS} FROM attempts a
        WHERE cluster = $1 AND state = '{AttemptState.LIVE}' AND accepted_at < now() - $2::interval
        """,
        cluster, age,
    )  # fmt: skip
    return [Attempt(*row) for row in rows]


async def find_abandoned(pool: Pool, cluster: str) -> list[Attempt]:
    """Lost attempts whose cluster has not acknowledged that their runs are stopped."""
    rows = await pool.fetch(
        f"""
        SELECT {ATTEMPT_COLUMNS} FROM attempts a WHERE cluster = $1 AND outcome = 'lost'
          AND external_job_id IS NOT NULL AND stop_acknowledged IS DISTINCT FROM 'cancel'
        """,
        cluster,
    )
    return [Attempt(*row) for row in rows]


async def acknowledge_stop(pool: Pool, attempt: Attempt) -> None:
    """The cluster has acknowledged that the lost attempt's run is stopped, or does not have it."""
    await pool.execute(
        f"""
        UPDATE attempts SET stop_acknowledged = 'cancel'
        WHERE job_id = $1 AND attempt = $2 AND state = '{AttemptState.OVER}'
        """,
        *attempt.key,
    )


async def find_silent(pool: Pool, max_silence: timedelta, unasked: bool) -> Mapping[str, list[Attempt]]:
    """Attempts, by cluster, of clusters that have given no usable response for `max_silence`.

    `unasked`: also of those that nobody asks any more, as no scheduler's settings name them.
    """
    rows = await pool.fetch(
        f"""
        SELECT {ATTEMPT_COLUMNS} FROM clusters c JOIN attempts a ON a.cluster = c.name
        WHERE a.state IN {HOLDS_GPUS}
          AND (c.silent_since < now() - $1::interval
               OR ($2 AND greatest(c.answered_at, c.unanswered_at) < now() - $1::interval))
        """,
        max_silence, unasked,
    )  # fmt: skip
    attempts: dict[str, list[Attempt]] = {}
    for row in rows:
        attempts.setdefault(row["cluster"], []).append(Attempt(*row))
    return attempts
