"""SQL on what users are told in the web app."""

from datetime import datetime
from uuid import UUID

from brightrun.contracts.values import new_id
from brightrun.notifier.models import NewNotification, Notification
from brightrun.runtime.database import Connection

NOTIFICATION = "id, type, title, message, priority, action_url, metadata, read_at, created_at"


async def insert(
    conn: Connection, user_id: UUID, notice: NewNotification, *, source_event_id: UUID, created_at: datetime
) -> bool:
    """Put `notice` into the user's list; False, and nothing done, if the event is in it already."""
    inserted = await conn.fetchval(
        """
        INSERT INTO notifications
            (id, source_event_id, user_id, type, title, message, priority, action_url, metadata, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (source_event_id) DO NOTHING
        RETURNING true
        """,
        new_id(), source_event_id, user_id, notice.type, notice.title, notice.message, notice.priority,
        notice.action_url, notice.metadata, created_at,
    )  # fmt: skip
    return bool(inserted)


async def list_newest(conn: Connection, user_id: UUID, *, unread_only: bool, limit: int) -> list[Notification]:
    """The user's newest notifications, the newest first."""
    rows = await conn.fetch(
        f"""
        SELECT {NOTIFICATION} FROM notifications
        WHERE user_id = $1 {"AND read_at IS NULL" if unread_only else ""}
        ORDER BY created_at DESC, id DESC LIMIT $2
        """,  # noqa: S608 - our own columns
        user_id, limit,
    )  # fmt: skip
    return [Notification(**row) for row in rows]


async def count_unread(conn: Connection, user_id: UUID) -> int:
    """How many notifications the user has not seen."""
    count = await conn.fetchval("SELECT count(*) FROM notifications WHERE user_id = $1 AND read_at IS NULL", user_id)
    return int(count)


async def mark_read(conn: Connection, user_id: UUID, notification_id: UUID) -> Notification | None:
    """Mark the user's notification as seen, since the first time it was; None if there is no such one."""
    row = await conn.fetchrow(
        f"""
        UPDATE notifications SET read_at = coalesce(read_at, now()) WHERE id = $1 AND user_id = $2
        RETURNING {NOTIFICATION}
        """,  # noqa: S608 - our own columns
        notification_id, user_id,
    )  # fmt: skip
    return Notification(**row) if row else None


async def mark_all_read(conn: Connection, user_id: UUID) -> int:
    """Mark everything in the user's list as seen; returns how many were not."""
    marked = await conn.fetchval(
        """
        WITH marked AS (UPDATE notifications SET read_at = now() WHERE user_id = $1 AND read_at IS NULL RETURNING id)
        SELECT count(*) FROM marked
        """,
        user_id,
    )
    return int(marked)
