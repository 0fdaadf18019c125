"""Bodies and limits of webhooks that api and notifier share."""

from ipaddress import IPv4Address
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    StrictBool,
    StringConstraints,
    UrlConstraints,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from brightrun.contracts.pagination import Pagination
from brightrun.contracts.values import Utc, Value

MAX_URL_LENGTH = 2048
MAX_WEBHOOKS = 20
ALL_EVENTS = "*"

EVENT_TYPES = (
    "budget.reached",
    "dataset.validated",
    "duration.reached",
    "fine_tuning.job.cancelled",
    "fine_tuning.job.failed",
    "fine_tuning.job.paused",
    "fine_tuning.job.queued",
    "fine_tuning.job.started",
    "fine_tuning.job.succeeded",
    "fine_tuning.job.trained",
)
"""The types that are sent today; an endpoint may subscribe to future ones."""


def _reject_disguises(value: Any, validate: ValidatorFunctionWrapHandler) -> HttpUrl:
    """A URL without credentials, whose address, if it is one, is written in plain: not octal, decimal or the like."""
    url: HttpUrl = validate(value)
    host = url.host or ""
    if len(str(url)) > MAX_URL_LENGTH:
        raise ValueError(f"the URL must have at most {MAX_URL_LENGTH} characters, escapes included")
    if url.username is not None or url.password is not None:
        raise ValueError("the URL must not carry a user name or password")
    if _is_ipv4(host) and host not in str(value):
        raise ValueError(f"write the address plainly, as {host}")
    return url


def _is_ipv4(host: str) -> bool:
    try:
        IPv4Address(host)
    except ValueError:
        return False
    return True


WebhookUrl = Annotated[HttpUrl, UrlConstraints(max_length=MAX_URL_LENGTH), WrapValidator(_reject_disguises)]
"""Where events are sent, in its canonical spelling, so that no two parsers read it differently."""

EventType = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)*$", max_length=100),
    Field(examples=["fine_tuning.job.succeeded"]),
]
EventPattern = Annotated[
    str,
    StringConstraints(pattern=r"^(\*|[a-z0-9_]+(\.[a-z0-9_]+)*(\.\*)?)$", max_length=100),
    Field(examples=["fine_tuning.job.*"]),
]
"""An event type, all below a prefix (`fine_tuning.job.*`), or all there are (`*`)."""

EventPatterns = Annotated[list[EventPattern], Field(min_length=1, max_length=50)]
Description = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class NewWebhook(BaseModel):
    """A new endpoint; it subscribes to all events unless some are named."""

    model_config = ConfigDict(extra="forbid")

    url: WebhookUrl
    description: Description = ""
    event_types: EventPatterns = Field(default_factory=lambda: [ALL_EVENTS])


class WebhookChanges(BaseModel):
    """Changes of an endpoint; absent fields stay as they are."""

    model_config = ConfigDict(extra="forbid")

    url: WebhookUrl | None = None
    description: Description | None = None
    event_types: EventPatterns | None = None
    enabled: StrictBool | None = None


class SecretRotation(BaseModel):
    """Whether the old secret goes on signing, beside the new one, for 24 hours."""

    model_config = ConfigDict(extra="forbid")

    keep_previous: StrictBool = True


class WebhookTest(BaseModel):
    """The type of the sample event."""

    model_config = ConfigDict(extra="forbid")

    event_type: EventType = "fine_tuning.job.succeeded"


class Webhook(Value):
    """An endpoint as its owner sees it.

    `disabled_reason`: `user`, `gone` (its receiver answered 410) or `failing` (nothing went through for days).
    `failing_since`: the first failure after the last success. `secret_hint`: the end of the secret.
    """

    id: UUID
    url: str
    description: str
    event_types: list[str]
    enabled: bool
    disabled_reason: str | None = None
    failing_since: Utc | None = None
    secret_hint: str
    created_at: Utc
    updated_at: Utc


class Webhooks(Value):
    """All endpoints of a user, newest first."""

    webhooks: list[Webhook]


class WebhookWithSecret(Webhook):
    """An endpoint with the secret that signs its events; it is shown only this once."""

    secret: Annotated[str, Field(repr=False)]


class WebhookTestResult(Value):
    """The receiver's status code, or why there is none."""

    event_type: str
    status_code: int | None = None
    duration_ms: int
    error: str | None = None


class WebhookAttempt(Value):
    """One try of a delivery. `error` says why it is not a success."""

    number: int
    at: Utc
    status_code: int | None = None
    duration_ms: int
    error: str | None = None


class WebhookDelivery(Value):
    """An event on its way to an endpoint, with its newest attempts first. `event_id` is the `webhook-id` header."""

    id: UUID
    event_id: str
    event_type: str
    status: Literal["pending", "delivered", "failed"]
    attempts: list[WebhookAttempt]
    next_attempt_at: Utc | None = None
    created_at: Utc


class WebhookDeliveries(Value):
    """A page of what was sent to an endpoint, newest first."""

    deliveries: list[WebhookDelivery]
    pagination: Pagination
