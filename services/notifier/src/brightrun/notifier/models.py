"""Rows of the notifier's slice."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

Priority = Literal["low", "medium", "high"]
DisabledReason = Literal["user", "gone", "failing"]
DeliveryStatus = Literal["pending", "delivered", "failed"]


@dataclass(frozen=True, slots=True)
class NewNotification:
    """What a user is notified of, and the page of the web app that shows more."""

    type: str
    title: str
    message: str
    priority: Priority
    action_url: str
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Notification(NewNotification):
    """A notification in the user's list; unread while `read_at` is None."""

    id: UUID
    read_at: datetime | None
    created_at: datetime

    @property
    def read(self) -> bool:
        """Whether the user has seen it."""
        return self.read_at is not None


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """A secret as it is stored: encrypted, with the end that its owner may recognise it by."""

    secret: bytes = field(repr=False)
    hint: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a user's program receives events. The old secret signs as well until `previous_until`.

    `failures`: attempts in a row that failed.
    """

    id: UUID
    user_id: UUID
    url: str
    description: str
    event_types: list[str]
    enabled: bool
    disabled_reason: DisabledReason | None
    failing_since: datetime | None
    failures: int
    secret: bytes = field(repr=False)
    secret_hint: str
    previous_secret: bytes | None = field(repr=False)
    previous_until: datetime | None
    created_at: datetime
    updated_at: datetime

    def signing_secrets(self, now: datetime) -> list[bytes]:
        """The sealed secrets that sign an event at `now`, the new one first."""
        if self.previous_secret and self.previous_until and now < self.previous_until:
            return [self.secret, self.previous_secret]
        return [self.secret]


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """An event for webhooks: the very text that is signed and sent."""

    event_id: UUID
    type: str
    body: str


@dataclass(frozen=True, slots=True)
class LeasedDelivery:
    """A delivery leased to one sender; its result counts only while `fence` is still the newest."""

    delivery_id: UUID
    endpoint_id: UUID
    fence: int
    attempts: int
    event: WebhookEvent


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event on its way to an endpoint, or at its end."""

    id: UUID
    event_id: UUID
    event_type: str
    status: DeliveryStatus
    due_at: datetime
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a delivery."""

    delivery_id: UUID
    number: int
    at: datetime
    status_code: int | None
    duration_ms: int
    error: str | None


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back from a receiver; without a status code `error` says why there is none."""

    status_code: int | None
    duration_ms: int
    error: str | None = None
    retry_after: str | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the receiver took the event."""
        return self.status_code is not None and 200 <= self.status_code < 300


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a delivery after an attempt; a pending one is attempted again after `pause`."""

    status: DeliveryStatus
    pause: timedelta = timedelta(0)
