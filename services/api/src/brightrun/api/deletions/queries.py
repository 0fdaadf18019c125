"""SQL of deletions, and the locks that they share with submissions."""

from typing import Literal
from uuid import UUID

from brightrun.runtime.database import Connection, Pool
from brightrun.runtime.locks import lock, lock_shared

Kind = Literal["dataset", "model"]


async def lock_object(conn: Connection, object_id: UUID) -> None:
    """Make others that lock or share the data set or model wait until this transaction ends."""
    await lock(conn, f"object:{object_id}")


async def share_object(conn: Connection, object_id: UUID) -> None:
    """Keep the data set or model from being deleted until this transaction ends; others may share it meanwhile."""
    await lock_shared(conn, f"object:{object_id}")


async def insert_deletion(conn: Connection, kind: Kind, user_id: UUID, object_id: UUID) -> None:
    """Store the decision to delete the user's object."""
    await conn.execute(
        "INSERT INTO deletions (object_id, kind, user_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        object_id, kind, user_id,
    )  # fmt: skip


async def drop_deletion(conn: Connection, object_id: UUID) -> None:
    """Withdraw the decision: the object cannot be deleted."""
    await conn.execute("DELETE FROM deletions WHERE object_id = $1", object_id)


async def list_pending_deletions(pool: Pool, limit: int) -> list[tuple[Kind, UUID, UUID]]:
    """`(kind, user_id, object_id)` of deletions that were decided 30 seconds ago or earlier and are not done."""
    rows = await pool.fetch(
        """
        SELECT kind, user_id, object_id FROM deletions
        WHERE NOT done AND decided_at < now() - interval '30 seconds' ORDER BY decided_at LIMIT $1
        """,
        limit,
    )
    return [(row["kind"], row["user_id"], row["object_id"]) for row in rows]


async def mark_deleted(conn: Connection, object_id: UUID) -> None:
    """Store that the deletion is done."""
    await conn.execute("UPDATE deletions SET done = true WHERE object_id = $1", object_id)
