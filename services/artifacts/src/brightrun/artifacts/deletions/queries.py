"""SQL on pending deletions: objects that no row names any more, or not yet."""

from dataclasses import dataclass
from datetime import timedelta

from brightrun.runtime.database import Connection
from brightrun.runtime.notify import notify


@dataclass(frozen=True, slots=True)
class PendingDeletion:
    """Objects to be deleted: all whose key begins with `prefix`."""

    bucket: str
    prefix: str


async def schedule_deletion(conn: Connection, bucket: str, prefix: str, after: timedelta = timedelta(0)) -> None:
    """Have every object whose key begins with `prefix` deleted, `after` a while."""
    await conn.execute(
        """INSERT INTO discards (bucket, prefix, due_at) VALUES ($1, $2, now() + $3)
           ON CONFLICT (bucket, prefix) DO UPDATE SET due_at = least(discards.due_at, excluded.due_at)""",
        bucket, prefix, after,
    )  # fmt: skip
    await notify(conn, "deletions")


async def cancel_deletion(conn: Connection, bucket: str, prefix: str) -> bool:
    """Keep objects that a row names now; False if their deletion has begun."""
    cancelled = await conn.fetchval(
        "DELETE FROM discards WHERE bucket = $1 AND prefix = $2 AND NOT sweeping RETURNING true", bucket, prefix
    )
    return bool(cancelled)


async def begin_deletion(conn: Connection, retry: timedelta) -> PendingDeletion | None:
    """Begin the deletion that is due longest; one that does not finish is due again after `retry`."""
    row = await conn.fetchrow(
        """UPDATE discards SET sweeping = true, due_at = now() + $1
           WHERE (bucket, prefix) = (
               SELECT bucket, prefix FROM discards WHERE due_at <= now() ORDER BY due_at FOR UPDATE SKIP LOCKED LIMIT 1
           )
           RETURNING bucket, prefix""",
        retry,
    )
    return PendingDeletion(**row) if row else None


async def finish_deletion(conn: Connection, deletion: PendingDeletion) -> None:
    """Forget a deletion whose objects are gone."""
    await conn.execute("DELETE FROM discards WHERE bucket = $1 AND prefix = $2", deletion.bucket, deletion.prefix)
