"""SQL on objects that no row names: those to be removed, and those that are still being written."""

from datetime import timedelta

from brightrun.artifacts.models import Discard
from brightrun.runtime.database import Connection
from brightrun.runtime.notify import notify


async def discard(conn: Connection, bucket: str, prefix: str, after: timedelta = timedelta(0)) -> None:
    """Have every object whose key begins with `prefix` removed, `after` a while."""
    await conn.execute(
        """INSERT INTO discards (bucket, prefix, due_at) VALUES ($1, $2, now() + $3)
           ON CONFLICT (bucket, prefix) DO UPDATE SET due_at = least(discards.due_at, excluded.due_at)""",
        bucket, prefix, after,
    )  # fmt: skip
    await notify(conn, "discards")


async def keep(conn: Connection, bucket: str, prefix: str) -> bool:
    """Take a discard back, as a row names the object now; False if its removal has begun."""
    kept = await conn.fetchval(
        "DELETE FROM discards WHERE bucket = $1 AND prefix = $2 AND NOT sweeping RETURNING true", bucket, prefix
    )
    return bool(kept)


async def claim_discard(conn: Connection, retry: timedelta) -> Discard | None:
    """Begin the removal that is due longest; one that is not ended comes up again after `retry`."""
    row = await conn.fetchrow(
        """UPDATE discards SET sweeping = true, due_at = now() + $1
           WHERE (bucket, prefix) = (
               SELECT bucket, prefix FROM discards WHERE due_at <= now() ORDER BY due_at FOR UPDATE SKIP LOCKED LIMIT 1
           )
           RETURNING bucket, prefix""",
        retry,
    )
    return Discard(**row) if row else None


async def end_discard(conn: Connection, done: Discard) -> None:
    """Forget a discard whose objects are gone."""
    await conn.execute("DELETE FROM discards WHERE bucket = $1 AND prefix = $2", done.bucket, done.prefix)
