"""The event log of each job."""

from collections.abc import Collection, Sequence
from uuid import UUID

from brightrun.runtime.database import Connection
from brightrun.tracker.models import Entry, LoggedEntry

ENTRY = "id, type, level, message, data, occurred_at"


async def find_unlogged(conn: Connection, entries: Sequence[Entry]) -> set[tuple[UUID, str]]:
    """The `(job_id, source)` of those `entries` that the log does not hold."""
    rows = await conn.fetch(
        """
        SELECT job_id, source FROM unnest($1::uuid[], $2::text[]) AS entry (job_id, source)
        WHERE NOT EXISTS (
            SELECT FROM job_events AS logged WHERE logged.job_id = entry.job_id AND logged.source = entry.source
        )
        """,
        [entry.job_id for entry in entries], [entry.source for entry in entries],
    )  # fmt: skip
    return {(row["job_id"], row["source"]) for row in rows}


async def find_logged(conn: Connection, sources: Collection[tuple[UUID, str]]) -> set[tuple[UUID, str]]:
    """Those of the `(job_id, source)` that the log holds."""
    rows = await conn.fetch(
        """
        SELECT job_id, source FROM job_events
        WHERE (job_id, source) IN (SELECT * FROM unnest($1::uuid[], $2::text[]))
        """,
        [job_id for job_id, _ in sources], [source for _, source in sources],
    )  # fmt: skip
    return {(row["job_id"], row["source"]) for row in rows}


async def hold_entries(conn: Connection, entries: Sequence[Entry]) -> None:
    """Keep entries that came before those that they follow."""
    await conn.executemany(
        """
        INSERT INTO held_entries (job_id, source, type, message, data, occurred_at, level, follows)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING
        """,
        [(e.job_id, e.source, e.type, e.message, e.data, e.occurred_at, e.level, e.follows) for e in entries],
    )


async def take_held(conn: Connection, logged: Sequence[Entry]) -> list[Entry]:
    """The kept entries that follow the `logged` ones, in the order in which they happened; they are no longer kept.

    A job's end comes last: its clock is another than that of the progress before it.
    """
    rows = await conn.fetch(
        """
        WITH taken AS (
            DELETE FROM held_entries WHERE (job_id, follows) IN (SELECT * FROM unnest($1::uuid[], $2::text[]))
            RETURNING *)
        SELECT job_id, source, type, message, data, occurred_at, level, follows FROM taken
        ORDER BY source = 'completed', occurred_at, id
        """,
        [entry.job_id for entry in logged], [entry.source for entry in logged],
    )  # fmt: skip
    return [Entry(**dict(row)) for row in rows]


async def find_ended(conn: Connection, job_ids: Collection[UUID]) -> set[UUID]:
    """Those of the jobs whose log holds their end."""
    rows = await conn.fetch(
        "SELECT job_id FROM job_events WHERE job_id = ANY($1) AND source = 'completed'", list(job_ids)
    )
    return {row["job_id"] for row in rows}


async def find_newest_ids(conn: Connection, job_ids: Collection[UUID]) -> dict[UUID, int]:
    """The newest entry of each of the jobs that have one."""
    rows = await conn.fetch(
        "SELECT job_id, max(id) AS id FROM job_events WHERE job_id = ANY($1) GROUP BY job_id", list(job_ids)
    )
    return {row["job_id"]: row["id"] for row in rows}


async def insert_entries(conn: Connection, entries: Sequence[Entry]) -> list[int]:
    """Append to the log; the entries' ids, in their order."""
    rows = await conn.fetch(
        """
        INSERT INTO job_events (job_id, source, type, level, message, data, occurred_at)
        SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::timestamptz[])
        RETURNING id
        """,
        *zip(
            *((e.job_id, e.source, e.type, e.level, e.message, e.data, e.occurred_at) for e in entries),
            strict=True,
        ),
    )  # fmt: skip
    return sorted(row["id"] for row in rows)


async def delete_entries(conn: Connection, job_id: UUID) -> None:
    """Drop the job's log."""
    await conn.execute("DELETE FROM job_events WHERE job_id = $1", job_id)
    await conn.execute("DELETE FROM held_entries WHERE job_id = $1", job_id)


async def list_entries(conn: Connection, job_id: UUID, after: int, limit: int) -> list[LoggedEntry]:
    """The job's log after entry `after`, in the order in which it was written."""
    rows = await conn.fetch(
        f"SELECT {ENTRY} FROM job_events WHERE job_id = $1 AND id > $2 ORDER BY id LIMIT $3",  # noqa: S608 - a constant
        job_id, after, limit,
    )  # fmt: skip
    return [LoggedEntry(**row) for row in rows]


async def list_newest_entries(conn: Connection, job_id: UUID, before: int | None, limit: int) -> list[LoggedEntry]:
    """The job's log back from before entry `before`, or from its end; newest first."""
    rows = await conn.fetch(
        f"""
        SELECT {ENTRY} FROM job_events
        WHERE job_id = $1 AND ($2::bigint IS NULL OR id < $2) ORDER BY id DESC LIMIT $3
        """,  # noqa: S608 - a constant
        job_id, before, limit,
    )  # fmt: skip
    return [LoggedEntry(**row) for row in rows]
