"""Bodies of webhook endpoints."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field

from brightrun.api.http.bodies import Body, example
from brightrun.api.openai.rules import ids
from brightrun.api.openai.schemas.lists import ListOf
from brightrun.contracts.webhooks import Description, EventPatterns, EventType, Webhook, WebhookUrl, WebhookWithSecret


class CreateWebhookEndpoint(Body):
    """A new endpoint. `event_types` may be prefixes (`fine_tuning.job.*`) or `*` as well."""

    model_config = example(
        {"name": "ours", "url": "https://hooks.example.com/", "event_types": ["fine_tuning.job.succeeded"]}
    )

    event_types: EventPatterns
    name: Annotated[Description, Field(min_length=1)]
    url: WebhookUrl


class UpdateWebhookEndpoint(Body):
    """Changes; fields that are not given stay."""

    model_config = example({"event_types": ["fine_tuning.job.succeeded", "fine_tuning.job.trained"]})

    event_types: EventPatterns | None = None
    name: Annotated[Description, Field(min_length=1)] | None = None
    url: WebhookUrl | None = None


class RotateWebhookSecret(Body):
    """Whether both secrets sign for 24 hours."""

    model_config = example({"keep_old_secret_active_for_24_hours": True})

    keep_old_secret_active_for_24_hours: bool = False


class TryWebhookEndpoint(Body):
    """The event type of the sample."""

    model_config = example({"event_type": "fine_tuning.job.succeeded"})

    event_type: EventType


class WebhookEndpoint(BaseModel):
    """A webhook endpoint."""

    id: str
    object: Literal["webhook_endpoint"] = "webhook_endpoint"
    created_at: int
    updated_at: int
    name: str
    url: str
    event_types: list[str]
    signing_secret_hint: str

    @classmethod
    def of(cls, webhook: Webhook, **more: Any) -> Self:
        """From a webhook."""
        return cls(
            id=ids.write(ids.WEBHOOK, webhook.id),
            created_at=int(webhook.created_at.timestamp()),
            updated_at=int(webhook.updated_at.timestamp()),
            name=webhook.description,
            url=webhook.url,
            event_types=webhook.event_types,
            signing_secret_hint=f"whsec_…{webhook.secret_hint}",
            **more,
        )


class WebhookEndpointWithSecret(WebhookEndpoint):
    """An endpoint with the secret that signs its events; it is shown only this once."""

    signing_secret: Annotated[str, Field(repr=False)]

    @classmethod
    def of(cls, webhook: Webhook, **more: Any) -> Self:
        """From a webhook with its secret."""
        assert isinstance(webhook, WebhookWithSecret)  # noqa: S101
        return super().of(webhook, signing_secret=webhook.secret, **more)


class WebhookEndpoints(ListOf[WebhookEndpoint]):
    """A part of the endpoints, newest first."""

    first_id: str | None = None
    last_id: str | None = None


class WebhookEndpointTested(BaseModel):
    """The receiver's response to the sample."""

    object: Literal["webhook_endpoint.test"] = "webhook_endpoint.test"
    webhook_endpoint_id: str
    event_type: str
    status_code: int
    success: Literal[True] = True


class WebhookEventTypeList(BaseModel):
    """The event types."""

    object: Literal["list"] = "list"
    data: list[str]
