"""Users are notified of events, in the web app and at their webhooks."""

from brightrun.notifier.queries import deliveries, notifications, webhooks
from brightrun.notifier.rules.notification_templates import NotifiableEvent, notification_of
from brightrun.notifier.rules.webhook_events import is_subscribed, webhook_event_of
from brightrun.runtime.database import Connection


async def notify(conn: Connection, event: NotifiableEvent) -> None:
    """Notify the event's user, and each of their endpoints that subscribes to it, once."""
    notification = notification_of(event)
    is_new = await notifications.insert(
        conn, event.user_id, notification, source_event_id=event.event_id, created_at=event.occurred_at
    )
    if not is_new:
        return
    webhook_event = webhook_event_of(event)
    subscribed = [
        endpoint.id
        for endpoint in await webhooks.list_endpoints(conn, event.user_id)
        if endpoint.enabled and is_subscribed(webhook_event.type, endpoint.event_types)
    ]
    if subscribed:
        await deliveries.insert(conn, subscribed, webhook_event)
