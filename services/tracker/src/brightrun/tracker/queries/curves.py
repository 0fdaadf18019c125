"""Metric points in chunks, and the summaries that stand for many of them."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from brightrun.runtime.database import Connection
from brightrun.tracker.models import NOT_MEASURED, QUANTITIES, Chunk, Gap, Span, Summary

COLUMNS = ", ".join(QUANTITIES)
CHUNK = f"attempt, seq, first_step, last_step, {COLUMNS}"


def _places(first: int) -> str:
    return ", ".join(f"${place}" for place in range(first, first + len(QUANTITIES)))


async def insert_chunks(conn: Connection, chunks: Sequence[Chunk]) -> None:
    """Store the chunks that are not there yet, in one round trip."""
    await conn.executemany(
        f"""
        INSERT INTO metric_chunks (job_id, attempt, seq, first_step, last_step, {COLUMNS})
        VALUES ($1, $2, $3, $4, $5, {_places(6)}) ON CONFLICT DO NOTHING
        """,  # noqa: S608 - names of our own columns
        [
            (chunk.job_id, chunk.attempt, chunk.seq, chunk.first_step, chunk.last_step, *chunk.packed)
            for chunk in chunks
        ],
    )


async def load_chunks(
    conn: Connection, job_id: UUID, gaps: Sequence[Gap], first: int, last: int, *, limit: int | None = None
) -> list[Chunk]:
    """The chunks in `gaps` that reach into the steps from `first` to `last`: the first `limit` of each gap.

    Those of one gap are in order. A sort of all would carry the arrays along, over the disk where there are many.
    """
    if not gaps:
        return []
    rows = await conn.fetch(
        f"""
        SELECT chunk.* FROM unnest($2::integer[], $3::integer[], $4::integer[], $5::integer[]) AS gap (a, b, c, d)
        CROSS JOIN LATERAL (
            SELECT {CHUNK} FROM metric_chunks
            WHERE job_id = $1 AND (attempt, seq) > (a, b) AND (attempt, seq) < (c, d)
              AND last_step >= $6 AND first_step <= $7
            ORDER BY attempt, seq LIMIT $8
        ) AS chunk
        """,  # noqa: S608 - names of our own columns
        job_id, *zip(*((*gap.after, *gap.before) for gap in gaps), strict=True), first, last, limit,
    )  # fmt: skip
    return [_chunk(job_id, row) for row in rows]


def _chunk(job_id: UUID, row: Any) -> Chunk:
    attempt, seq, first_step, last_step, *packed = row
    return Chunk(job_id, attempt, seq, first_step, last_step, tuple(packed))


async def list_spans(conn: Connection, job_id: UUID) -> list[Span]:
    """What the job's summaries stand for, in the order of the events."""
    rows = await conn.fetch(
        """
        SELECT attempt, seq, last_seq, first_step, last_step, octet_length(step) / $2 AS kept FROM metric_summaries
        WHERE job_id = $1 ORDER BY attempt, last_seq
        """,
        job_id, len(NOT_MEASURED),
    )  # fmt: skip
    return [Span(*row) for row in rows]


async def load_summaries(conn: Connection, job_id: UUID, first: int, last: int) -> list[Chunk]:
    """What is kept by the summaries that lie within the steps from `first` to `last`, in the order of the events."""
    rows = await conn.fetch(
        f"""
        SELECT {CHUNK} FROM metric_summaries
        WHERE job_id = $1 AND first_step >= $2 AND last_step <= $3 ORDER BY attempt, last_seq
        """,  # noqa: S608 - names of our own columns
        job_id, first, last,
    )  # fmt: skip
    return [_chunk(job_id, row) for row in rows]


async def insert_summaries(conn: Connection, summaries: Iterable[Summary]) -> None:
    """Store summaries of chunks that had none."""
    await conn.executemany(
        f"""
        INSERT INTO metric_summaries (job_id, attempt, seq, last_seq, first_step, last_step, {COLUMNS})
        VALUES ($1, $2, $3, $4, $5, $6, {_places(7)})
        """,  # noqa: S608 - names of our own columns
        [
            (chunk.job_id, chunk.attempt, chunk.seq, summary.last_seq, chunk.first_step, chunk.last_step, *chunk.packed)
            for summary in summaries
            for chunk in (summary.chunk,)
        ],
    )


async def drop_summaries(conn: Connection, chunks: Sequence[Chunk]) -> set[tuple[UUID, int]]:
    """Drop the summaries that `chunks` came too late for; the `(job_id, attempt)` that lack one now."""
    rows = await conn.fetch(
        """
        DELETE FROM metric_summaries AS summary
        USING unnest($1::uuid[], $2::integer[], $3::integer[]) AS chunk (job_id, attempt, seq)
        WHERE summary.job_id = chunk.job_id AND summary.attempt = chunk.attempt
          AND summary.last_seq >= chunk.seq AND summary.seq <= chunk.seq
        RETURNING summary.job_id, summary.attempt
        """,
        *([getattr(chunk, name) for chunk in chunks] for name in ("job_id", "attempt", "seq")),
    )  # fmt: skip
    return {(row["job_id"], row["attempt"]) for row in rows}


async def mark_due(conn: Connection, curves: Iterable[tuple[UUID, int]]) -> None:
    """Note that these `(job_id, attempt)` may have chunks without a summary."""
    await conn.executemany("INSERT INTO summaries_due VALUES ($1, $2) ON CONFLICT DO NOTHING", curves)


async def find_due(conn: Connection) -> tuple[UUID, int] | None:
    """A `(job_id, attempt)` that may have chunks without a summary; any, so that no one of them stops the others."""
    row = await conn.fetchrow("SELECT job_id, attempt FROM summaries_due ORDER BY random() LIMIT 1")
    return (row["job_id"], row["attempt"]) if row else None


async def take_due(conn: Connection, job_id: UUID, attempt: int) -> None:
    """Forget the note."""
    await conn.execute("DELETE FROM summaries_due WHERE job_id = $1 AND attempt = $2", job_id, attempt)


async def delete_curve(conn: Connection, job_id: UUID) -> None:
    """Drop what the job measured and saved."""
    for table in ("metric_chunks", "metric_summaries", "summaries_due", "checkpoints"):
        await conn.execute(f"DELETE FROM {table} WHERE job_id = $1", job_id)  # noqa: S608 - our own tables
