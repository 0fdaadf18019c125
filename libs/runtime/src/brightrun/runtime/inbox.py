"""The inbox: which events this slice has handled, marked in the transaction of their effect."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from brightrun.runtime.database import Connection, Pool

KEPT_FOR = timedelta(days=30)
"""Longer than any topic keeps a record, so that a replayed topic finds every mark."""


async def mark(conn: Connection, event_ids: Sequence[UUID]) -> set[UUID]:
    """Mark `event_ids` as handled and return those that were not before."""
    rows = await conn.fetch(
        "INSERT INTO inbox (event_id) SELECT DISTINCT unnest($1::uuid[]) ON CONFLICT DO NOTHING RETURNING event_id",
        event_ids,
    )
    return {row["event_id"] for row in rows}


async def prune(pool: Pool) -> bool:
    """Forget marks older than any record that could still come; False: there is never more to do at once."""
    await pool.execute("DELETE FROM inbox WHERE received_at < now() - $1::interval", KEPT_FOR)
    return False
