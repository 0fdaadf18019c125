"""Rows of the notifier's slice."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

Priority = Literal["low", "medium", "high"]


@dataclass(frozen=True, slots=True)
class Notice:
    """What a user is told of a fact, and the page of the web app where they see more."""

    type: str
    title: str
    message: str
    priority: Priority
    action_url: str
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Notification:
    """A notice in the user's list; unread while `read_at` is None."""

    id: UUID
    type: str
    title: str
    message: str
    priority: Priority
    action_url: str
    metadata: dict[str, Any]
    read_at: datetime | None
    created_at: datetime

    @property
    def read(self) -> bool:
        """Whether the user has seen it."""
        return self.read_at is not None
