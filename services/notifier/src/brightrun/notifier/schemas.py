"""What the notifier answers with."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from brightrun.contracts.webhooks import Webhook, WebhookAttempt, WebhookDelivery
from brightrun.notifier.models import Attempt, Delivery, Endpoint, Priority
from brightrun.notifier.rules.webhook_events import event_name


class NotificationView(BaseModel):
    """A notification in its user's list."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    type: str
    title: str
    message: str
    priority: Priority
    action_url: str
    metadata: dict[str, Any]
    read: bool
    read_at: datetime | None
    created_at: datetime


class NotificationsView(BaseModel):
    """The newest notifications, and how many in all are unread."""

    notifications: list[NotificationView]
    unread_count: int


class MarkedView(BaseModel):
    """How many notifications became read."""

    marked: int


def webhook_view(endpoint: Endpoint) -> Webhook:
    """The endpoint as its owner sees it: without its secrets."""
    return Webhook.model_validate(endpoint, from_attributes=True)


def delivery_view(delivery: Delivery, attempts: Sequence[Attempt]) -> WebhookDelivery:
    """The delivery with its log."""
    return WebhookDelivery(
        id=delivery.id,
        event_id=event_name(delivery.event_id),
        event_type=delivery.event_type,
        status=delivery.status,
        attempts=[WebhookAttempt.model_validate(attempt, from_attributes=True) for attempt in attempts],
        next_attempt_at=delivery.due_at if delivery.status == "pending" else None,
        created_at=delivery.created_at,
    )
