"""Users are told of facts, in the web app and at their webhooks, and what they saw is noted."""

from uuid import UUID

from brightrun.notifier.models import Notification
from brightrun.notifier.queries import deliveries, notifications, webhooks
from brightrun.notifier.rules.messages import is_wanted, message_of
from brightrun.notifier.rules.notices import Fact, notice_of
from brightrun.runtime.database import Connection
from brightrun.runtime.errors import NotFound


async def notify(conn: Connection, fact: Fact) -> None:
    """Tell the user of `fact`, and each of their endpoints that wants it, once."""
    is_new = await notifications.insert(
        conn,
        fact.user_id,
        notice_of(fact),
        source_event_id=fact.event_id,
        created_at=fact.occurred_at,
    )
    if is_new:
        await _send(conn, fact)


async def _send(conn: Connection, fact: Fact) -> None:
    message = message_of(fact)
    endpoints = await webhooks.list_endpoints(conn, fact.user_id)
    wanting = [each.id for each in endpoints if each.enabled and is_wanted(message.type, each.event_types)]
    if wanting:
        await deliveries.insert(conn, wanting, message)


async def mark_read(conn: Connection, user_id: UUID, notification_id: UUID) -> Notification:
    """Note that the user has seen a notification. Raises `NotFound` for one that is not theirs."""
    notification = await notifications.mark_read(conn, user_id, notification_id)
    if notification is None:
        raise NotFound
    return notification
