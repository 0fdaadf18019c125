"""What the notifier does: tell, and note what was seen."""

from uuid import UUID

from brightrun.notifier import queries, rules
from brightrun.notifier.models import Notification
from brightrun.runtime.database import Connection
from brightrun.runtime.errors import NotFound


async def notify(conn: Connection, fact: rules.Fact) -> None:
    """Tell the user of `fact`, once."""
    await queries.insert(
        conn,
        fact.user_id,
        rules.notice_of(fact),
        source_event_id=fact.event_id,
        created_at=fact.occurred_at,
    )


async def mark_read(conn: Connection, user_id: UUID, notification_id: UUID) -> Notification:
    """Note that the user has seen a notification. Raises `NotFound` for one that is not theirs."""
    notification = await queries.mark_read(conn, user_id, notification_id)
    if notification is None:
        raise NotFound
    return notification
