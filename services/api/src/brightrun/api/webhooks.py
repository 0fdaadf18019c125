"""Webhooks, which the notifier owns."""

from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel

from brightrun.api.accounts.authentication import Owner, Reader
from brightrun.api.http.bodies import Body, example
from brightrun.api.http.error_responses import error_responses
from brightrun.api.http.parameters import Clients, Limit, Page
from brightrun.contracts.errors import TooManyWebhooks, WebhookDisabled
from brightrun.contracts.webhooks import (
    EVENT_TYPES,
    NewWebhook,
    SecretRotation,
    Webhook,
    WebhookChanges,
    WebhookDeliveries,
    WebhookDelivery,
    Webhooks,
    WebhookTest,
    WebhookTestResult,
    WebhookWithSecret,
)
from brightrun.runtime.http import BoundedRoute, Envelope


class CreateWebhook(Body, NewWebhook):
    """A new webhook. `event_types` are names, prefixes such as `fine_tuning.job.*`, or `*` for all."""

    model_config = example({"url": "https://hooks.example.com/brightrun", "event_types": ["fine_tuning.job.*"]})


class ChangeWebhook(Body, WebhookChanges):
    """The changes of a webhook; what is not given stays."""

    model_config = example({"event_types": ["fine_tuning.job.trained"], "enabled": True})


class RotateSecret(Body, SecretRotation):
    """Whether the old secret goes on signing, beside the new one, for 24 hours."""

    model_config = example({"keep_previous": True})


class TryWebhook(Body, WebhookTest):
    """The event to send; the id in it is all zeros."""

    model_config = example({"event_type": "fine_tuning.job.succeeded"})


class WebhookEventTypes(BaseModel):
    """The types of events."""

    event_types: list[str]


router = APIRouter(prefix="/webhooks", tags=["webhooks"], route_class=BoundedRoute)


@router.get("", summary="Your webhooks")
async def list_webhooks(user: Reader, clients: Clients) -> Envelope[Webhooks]:
    """All, newest first."""
    return Envelope(data=Webhooks(webhooks=await clients.notifier.list_webhooks(user.id)))


@router.post("", status_code=201, summary="Make a webhook", responses=error_responses(TooManyWebhooks))
async def create_webhook(body: CreateWebhook, user: Owner, clients: Clients) -> Envelope[WebhookWithSecret]:
    """Events are sent to a public https address. Only this response contains the secret that signs them."""
    return Envelope(data=await clients.notifier.change_webhook("POST", "", user.id, body.model_dump(mode="json")))


@router.get("/event-types", summary="What events there are")
async def list_webhook_event_types(_: Reader) -> Envelope[WebhookEventTypes]:
    """A webhook may name others as well: they may come."""
    return Envelope(data=WebhookEventTypes(event_types=list(EVENT_TYPES)))


@router.get("/{webhook_id}", summary="One webhook")
async def get_webhook(webhook_id: UUID, user: Reader, clients: Clients) -> Envelope[Webhook]:
    """With its state, without its secret."""
    return Envelope(data=await clients.notifier.get(f"/webhooks/{webhook_id}", user.id))


@router.patch("/{webhook_id}", summary="Change a webhook")
async def change_webhook(webhook_id: UUID, body: ChangeWebhook, user: Owner, clients: Clients) -> Envelope[Webhook]:
    """Pending events are sent once it is enabled again."""
    changes = body.model_dump(mode="json", exclude_none=True)
    return Envelope(data=await clients.notifier.change_webhook("PATCH", f"/{webhook_id}", user.id, changes))


@router.delete("/{webhook_id}", summary="Delete a webhook")
async def delete_webhook(webhook_id: UUID, user: Owner, clients: Clients) -> Envelope[None]:
    """Pending events are not sent."""
    await clients.notifier.change_webhook("DELETE", f"/{webhook_id}", user.id)
    return Envelope(data=None)


@router.post("/{webhook_id}/rotate", summary="Give a webhook a new secret")
async def rotate_webhook_secret(
    webhook_id: UUID, user: Owner, clients: Clients, body: RotateSecret | None = None
) -> Envelope[WebhookWithSecret]:
    """Both secrets sign for 24 hours, or only the new one with `keep_previous: false`."""
    request = (body or RotateSecret()).model_dump()
    return Envelope(data=await clients.notifier.change_webhook("POST", f"/{webhook_id}/rotate", user.id, request))


@router.post("/{webhook_id}/test", summary="Try a webhook")
async def try_webhook(
    webhook_id: UUID, user: Owner, clients: Clients, body: TryWebhook | None = None
) -> Envelope[WebhookTestResult]:
    """Sends a sample event once, and returns the receiver's response."""
    request = (body or TryWebhook()).model_dump()
    return Envelope(data=await clients.notifier.change_webhook("POST", f"/{webhook_id}/test", user.id, request))


@router.get("/{webhook_id}/deliveries", summary="What was sent to a webhook")
async def list_webhook_deliveries(
    webhook_id: UUID, user: Reader, clients: Clients, page: Page = 1, limit: Limit = 20
) -> Envelope[WebhookDeliveries]:
    """The last 30 days, newest first, each with its newest attempts."""
    path = f"/webhooks/{webhook_id}/deliveries"
    return Envelope(data=await clients.notifier.get(path, user.id, page=page, limit=limit))


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/replay",
    summary="Send an event again",
    responses=error_responses(WebhookDisabled),
)
async def replay_webhook_delivery(
    webhook_id: UUID, delivery_id: UUID, user: Owner, clients: Clients
) -> Envelope[WebhookDelivery]:
    """At once, with the same id and all retries."""
    path = f"/{webhook_id}/deliveries/{delivery_id}/replay"
    return Envelope(data=await clients.notifier.change_webhook("POST", path, user.id))
