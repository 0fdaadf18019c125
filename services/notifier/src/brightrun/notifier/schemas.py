"""What the notifier answers with."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from brightrun.notifier.models import Priority


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
