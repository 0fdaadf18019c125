"""Events that users are notified of, from Kafka."""

from typing import get_args

from brightrun.notifier.actions import notifications
from brightrun.notifier.rules.notification_templates import NotifiableEvent
from brightrun.runtime.database import Connection
from brightrun.runtime.kafka import subscribe


async def _notify(event: NotifiableEvent, conn: Connection) -> None:
    await notifications.notify(conn, event)


SUBSCRIPTIONS = [subscribe(event_type)(_notify) for event_type in get_args(NotifiableEvent)]
