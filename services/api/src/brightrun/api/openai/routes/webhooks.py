"""Webhook endpoints as OpenAI's clients manage them (`client.webhooks`)."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query

from brightrun.api.accounts.authentication import Owner, Reader
from brightrun.api.http.errors import error_responses
from brightrun.api.http.parameters import Clients
from brightrun.api.openai.errors import WebhookUnreachable
from brightrun.api.openai.rules import ids
from brightrun.api.openai.schemas.lists import After, Deleted
from brightrun.api.openai.schemas.webhooks import (
    CreateWebhookEndpoint,
    RotateWebhookSecret,
    TryWebhookEndpoint,
    UpdateWebhookEndpoint,
    WebhookEndpoint,
    WebhookEndpoints,
    WebhookEndpointTested,
    WebhookEndpointWithSecret,
    WebhookEventTypeList,
)
from brightrun.api.webhooks import notifier as webhooks
from brightrun.contracts.errors import TooManyWebhooks
from brightrun.contracts.webhooks import EVENT_TYPES, Webhook, WebhookTestResult, WebhookWithSecret
from brightrun.runtime.errors import NotFound
from brightrun.runtime.http import BoundedRoute

router = APIRouter(tags=["webhooks"], route_class=BoundedRoute)


@router.post("/webhook_endpoints", summary="Make a webhook endpoint", responses=error_responses(TooManyWebhooks))
async def create_webhook_endpoint(
    body: CreateWebhookEndpoint, user: Owner, clients: Clients
) -> WebhookEndpointWithSecret:
    """The secret that signs its events is in this answer and nowhere else."""
    made = await webhooks.ask(clients.notifier, "POST", "", user.id, _wanted(body))
    return WebhookEndpointWithSecret.of(WebhookWithSecret.model_validate(made))


@router.get("/webhook_endpoints", summary="Your webhook endpoints", responses=error_responses(NotFound))
async def list_webhook_endpoints(
    user: Reader, clients: Clients, after: After = None, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> WebhookEndpoints:
    """Newest first."""
    found = [WebhookEndpoint.of(webhook) for webhook in await webhooks.fetch_all(clients.notifier, user.id)]
    names = [endpoint.id for endpoint in found]
    if after is not None and after not in names:
        raise NotFound
    page = WebhookEndpoints.of(found[names.index(after) + 1 if after else 0 :], limit)
    if page.data:
        page.first_id, page.last_id = page.data[0].id, page.data[-1].id
    return page


@router.get("/webhook_endpoints/{webhook_endpoint_id}", summary="One webhook endpoint")
async def get_webhook_endpoint(webhook_endpoint_id: str, user: Reader, clients: Clients) -> WebhookEndpoint:
    """Without its secret."""
    told = await clients.notifier.get(f"/webhooks/{_read(webhook_endpoint_id)}", user.id)
    return WebhookEndpoint.of(Webhook.model_validate(told))


@router.post("/webhook_endpoints/{webhook_endpoint_id}", summary="Change a webhook endpoint")
async def update_webhook_endpoint(
    webhook_endpoint_id: str, body: UpdateWebhookEndpoint, user: Owner, clients: Clients
) -> WebhookEndpoint:
    """What is not given stays as it is."""
    path = f"/{_read(webhook_endpoint_id)}"
    changed = await webhooks.ask(clients.notifier, "PATCH", path, user.id, _wanted(body))
    return WebhookEndpoint.of(Webhook.model_validate(changed))


@router.delete("/webhook_endpoints/{webhook_endpoint_id}", summary="Delete a webhook endpoint")
async def delete_webhook_endpoint(webhook_endpoint_id: str, user: Owner, clients: Clients) -> Deleted:
    """What waits for it is not sent any more."""
    await webhooks.ask(clients.notifier, "DELETE", f"/{_read(webhook_endpoint_id)}", user.id)
    return Deleted(id=webhook_endpoint_id, object="webhook_endpoint.deleted")


@router.post("/webhook_endpoints/{webhook_endpoint_id}/rotate_secret", summary="Give an endpoint a new secret")
async def rotate_webhook_endpoint_secret(
    webhook_endpoint_id: str, user: Owner, clients: Clients, body: RotateWebhookSecret | None = None
) -> WebhookEndpointWithSecret:
    """The old one stops signing at once, unless it is to be kept for 24 hours."""
    wanted = {"keep_previous": body is not None and body.keep_old_secret_active_for_24_hours}
    rotated = await webhooks.ask(clients.notifier, "POST", f"/{_read(webhook_endpoint_id)}/rotate", user.id, wanted)
    return WebhookEndpointWithSecret.of(WebhookWithSecret.model_validate(rotated))


@router.post(
    "/webhook_endpoints/{webhook_endpoint_id}/test",
    summary="Try a webhook endpoint",
    responses=error_responses(WebhookUnreachable),
)
async def try_webhook_endpoint(
    webhook_endpoint_id: str, body: TryWebhookEndpoint, user: Owner, clients: Clients
) -> WebhookEndpointTested:
    """A sample is sent now, once; a receiver that gives no answer at all is an error."""
    path = f"/{_read(webhook_endpoint_id)}/test"
    told = await webhooks.ask(clients.notifier, "POST", path, user.id, body.model_dump())
    result = WebhookTestResult.model_validate(told)
    if result.status_code is None:
        raise WebhookUnreachable(result.error)
    return WebhookEndpointTested(
        webhook_endpoint_id=webhook_endpoint_id, event_type=result.event_type, status_code=result.status_code
    )


@router.get("/webhook_event_types", summary="What events there are")
async def list_webhook_event_types(_: Reader) -> WebhookEventTypeList:
    """OpenAI's of fine-tuning, and our own."""
    return WebhookEventTypeList(data=list(EVENT_TYPES))


def _wanted(body: CreateWebhookEndpoint | UpdateWebhookEndpoint) -> dict[str, Any]:
    """What the notifier is asked for: an endpoint's name is its description there."""
    wanted = body.model_dump(mode="json", exclude_none=True)
    if "name" in wanted:
        wanted["description"] = wanted.pop("name")
    return wanted


def _read(webhook_endpoint_id: str) -> UUID:
    webhook_id = ids.read(ids.WEBHOOK, webhook_endpoint_id)
    if webhook_id is None:
        raise NotFound
    return webhook_id
