"""What is known of runs from listening to their clusters."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from brightrun.runtime.database import Connection, Pool
from brightrun.scheduler.models import Allowance, Attempt, Key, Watched

WATCHED = """
    a.job_id, a.user_id, a.attempt, a.cluster, a.fence, a.state, a.external_job_id,
    a.started_at, a.saved_step, a.checkpoint_seconds, a.expected_end, a.allowed_seconds, a.stop_for, a.stop_at
"""


@dataclass(frozen=True, slots=True)
class Position:
    """Up to where a cluster's stream was heard, and whether it has one; None before it said."""

    cursor: int
    streams: bool | None


async def read_position(pool: Pool, cluster: str) -> Position:
    """Where to listen on."""
    row = await pool.fetchrow(
        "SELECT cursor, (capabilities ->> 'events')::bool AS streams FROM clusters WHERE name = $1", cluster
    )
    return Position(*row) if row else Position(0, None)


async def move_cursor(conn: Connection, cluster: str, before: int, after: int) -> bool:
    """Remember up to where the stream was heard from `before` on; False if another scheduler has moved it since."""
    tag = await conn.execute(
        "UPDATE clusters SET cursor = $3 WHERE name = $1 AND cursor = $2", cluster, before, after
    )  # fmt: skip
    return tag == "UPDATE 1"


async def find_watched(conn: Connection | Pool, cluster: str, keys: Collection[Key]) -> list[Watched]:
    """The cluster's attempts with these keys. Unknown ones are left out, and those that were given up as lost."""
    rows = await conn.fetch(
        f"""
        SELECT {WATCHED} FROM attempts a
        JOIN unnest($1::uuid[], $2::int[]) AS keys (job_id, attempt) USING (job_id, attempt)
        WHERE a.cluster = $3 AND a.outcome IS DISTINCT FROM 'lost'
        """,  # noqa: S608 - a constant
        [job_id for job_id, _ in keys], [attempt for _, attempt in keys], cluster,
    )  # fmt: skip
    return [watched_of(row) for row in rows]


async def save_notes(conn: Connection, notes: Sequence[Watched]) -> None:
    """Write down what is known of live runs now."""
    await conn.execute(
        """
        UPDATE attempts a SET started_at = note.started_at, saved_step = note.saved_step,
            checkpoint_seconds = note.checkpoint_seconds, expected_end = note.expected_end, stop_at = note.stop_at
        FROM unnest($1::uuid[], $2::int[], $3::timestamptz[], $4::bigint[], $5::float8[], $6::timestamptz[],
                    $7::timestamptz[])
            AS note (job_id, attempt, started_at, saved_step, checkpoint_seconds, expected_end, stop_at)
        WHERE (a.job_id, a.attempt) = (note.job_id, note.attempt) AND a.state = 'live'
        """,
        [one.attempt.job_id for one in notes], [one.attempt.attempt for one in notes],
        [one.started_at for one in notes], [one.saved_step for one in notes],
        [one.checkpoint_seconds for one in notes], [one.expected_end for one in notes], [one.stop_at for one in notes],
    )  # fmt: skip


def watched_of(row: Any) -> Watched:
    """A row that begins as `WATCHED` does."""
    return Watched(
        attempt=Attempt(*row[:7]),
        started_at=row["started_at"],
        saved_step=row["saved_step"],
        checkpoint_seconds=row["checkpoint_seconds"],
        expected_end=row["expected_end"],
        allowance=None if row["allowed_seconds"] is None else Allowance(row["allowed_seconds"], row["stop_for"]),
        stop_at=row["stop_at"],
    )
