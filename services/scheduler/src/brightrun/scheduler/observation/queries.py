"""SQL of observed runs."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

from brightrun.runtime.database import Connection, Pool
from brightrun.scheduler.limits.models import Allowance
from brightrun.scheduler.models import ATTEMPT_COLUMNS, Attempt, Key
from brightrun.scheduler.observation.models import DueRun, ObservedRun, PollState, StreamPosition
from brightrun.scheduler.states import AttemptState

OBSERVED_RUN = f"""
    {ATTEMPT_COLUMNS}, a.started_at, a.saved_step, a.checkpoint_seconds, a.expected_end, a.allowed_seconds,
    a.limited_by, a.stop_at
"""
LIVE = f"state = '{AttemptState.LIVE}'"


async def read_position(pool: Pool, cluster: str) -> StreamPosition:
    """Where to read on."""
    row = await pool.fetchrow(
        "SELECT cursor, (capabilities ->> 'events')::bool AS streams FROM clusters WHERE name = $1", cluster
    )
    return StreamPosition(*row) if row else StreamPosition(0, None)


async def move_cursor(conn: Connection, cluster: str, before: int, after: int) -> bool:
    """Remember up to where the stream was read from `before` on; False if another scheduler has moved it since."""
    tag = await conn.execute(
        "UPDATE clusters SET cursor = $3 WHERE name = $1 AND cursor = $2", cluster, before, after
    )  # fmt: skip
    return tag == "UPDATE 1"


async def find_runs(conn: Connection | Pool, cluster: str, keys: Collection[Key]) -> list[ObservedRun]:
    """The cluster's attempts with these keys, without lost ones."""
    rows = await conn.fetch(
        f"""
        SELECT {OBSERVED_RUN} FROM attempts a
        JOIN unnest($1::uuid[], $2::int[]) AS keys (job_id, attempt) USING (job_id, attempt)
        WHERE a.cluster = $3 AND a.outcome IS DISTINCT FROM 'lost'
        """,
        [job_id for job_id, _ in keys], [attempt for _, attempt in keys], cluster,
    )  # fmt: skip
    return [_observed(row) for row in rows]


async def save_runs(conn: Connection, runs: Sequence[ObservedRun]) -> None:
    """Save what is known of live runs now."""
    await conn.execute(
        f"""
        UPDATE attempts a SET started_at = run.started_at, saved_step = run.saved_step,
            checkpoint_seconds = run.checkpoint_seconds, expected_end = run.expected_end, stop_at = run.stop_at
        FROM unnest($1::uuid[], $2::int[], $3::timestamptz[], $4::bigint[], $5::float8[], $6::timestamptz[],
                    $7::timestamptz[])
            AS run (job_id, attempt, started_at, saved_step, checkpoint_seconds, expected_end, stop_at)
        WHERE (a.job_id, a.attempt) = (run.job_id, run.attempt) AND a.{LIVE}
        """,
        [run.attempt.job_id for run in runs], [run.attempt.attempt for run in runs],
        [run.started_at for run in runs], [run.saved_step for run in runs],
        [run.checkpoint_seconds for run in runs], [run.expected_end for run in runs], [run.stop_at for run in runs],
    )  # fmt: skip


async def take_due(pool: Pool, cluster: str, lease: timedelta, limit: int) -> list[DueRun]:
    """Claim runs that are due to be polled, the longest overdue first."""
    rows = await pool.fetch(
        f"""
        WITH due AS (
            SELECT job_id, attempt FROM attempts WHERE cluster = $1 AND {LIVE} AND poll_at <= now()
            ORDER BY poll_at LIMIT $3 FOR UPDATE SKIP LOCKED)
        UPDATE attempts a SET poll_at = now() + $2::interval FROM due
        WHERE (a.job_id, a.attempt) = (due.job_id, due.attempt)
        RETURNING {OBSERVED_RUN}, a.polled, a.stop_acknowledged IS NOT NULL AS stopping, a.poll_at
        """,
        cluster, lease, limit,
    )  # fmt: skip
    return [DueRun(_observed(row), row["polled"], row["stopping"], row["poll_at"]) for row in rows]


async def count_live(pool: Pool, cluster: str) -> int:
    """How many runs are polled."""
    count: int = await pool.fetchval(f"SELECT count(*) FROM attempts WHERE cluster = $1 AND {LIVE}", cluster)
    return count


async def save_poll(conn: Connection, due: DueRun, state: PollState, pause: timedelta) -> bool:
    """Save what the response has shown, and poll again after `pause`, or at once if that was requested meanwhile.

    False, and nothing is changed, if the run has ended or another scheduler has saved a newer response.
    """
    tag = await conn.execute(
        f"""
        UPDATE attempts SET polled = $3,
            poll_at = CASE WHEN poll_at >= $5 THEN now() + $4::interval ELSE poll_at END
        WHERE job_id = $1 AND attempt = $2 AND {LIVE} AND polled IS NOT DISTINCT FROM $6
        """,
        *due.attempt.key, state.model_dump(mode="json"), pause, due.claimed_until, due.before,
    )  # fmt: skip
    return tag == "UPDATE 1"


async def poll_at_once(pool: Pool, external_job_id: str) -> list[str]:
    """Have the live runs with this id polled at once; returns their clusters."""
    rows = await pool.fetch(
        f"UPDATE attempts SET poll_at = now() WHERE external_job_id = $1 AND {LIVE} RETURNING cluster",
        external_job_id,
    )
    return [row["cluster"] for row in rows]


def _observed(row: Any) -> ObservedRun:
    """A row that begins with `OBSERVED_RUN`."""
    return ObservedRun(
        attempt=Attempt(*row[:7]),
        started_at=row["started_at"],
        saved_step=row["saved_step"],
        checkpoint_seconds=row["checkpoint_seconds"],
        expected_end=row["expected_end"],
        allowance=None if row["allowed_seconds"] is None else Allowance(row["allowed_seconds"], row["limited_by"]),
        stop_at=row["stop_at"],
    )
