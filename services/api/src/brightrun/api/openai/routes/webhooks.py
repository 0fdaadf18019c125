"""HTTP routes of webhook endpoints (`client.webhooks`)."""

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
    """Only this response contains the secret that signs its events."""
    created = await webhooks.send(clients.notifier, "POST", "", user.id, _notifier_body(body))
    return WebhookEndpointWithSecret.of(WebhookWithSecret.model_validate(created))


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
    response = await clients.notifier.get(f"/webhooks/{_read(webhook_endpoint_id)}", user.id)
    return WebhookEndpoint.of(Webhook.model_validate(response))


@router.post("/webhook_endpoints/{webhook_endpoint_id}", summary="Change a webhook endpoint")
async def update_webhook_endpoint(
    webhook_endpoint_id: str, body: UpdateWebhookEndpoint, user: Owner, clients: Clients
) -> WebhookEndpoint:
    """Fields that are not given stay."""
    path = f"/{_read(webhook_endpoint_id)}"
    changed = await webhooks.send(clients.notifier, "PATCH", path, user.id, _notifier_body(body))
    return WebhookEndpoint.of(Webhook.model_validate(changed))


@router.delete("/webhook_endpoints/{webhook_endpoint_id}", summary="Delete a webhook endpoint")
async def delete_webhook_endpoint(webhook_endpoint_id: str, user: Owner, clients: Clients) -> Deleted:
    """Pending events are not sent."""
    await webhooks.send(clients.notifier, "DELETE", f"/{_read(webhook_endpoint_id)}", user.id)
    return Deleted(id=webhook_endpoint_id, object="webhook_endpoint.deleted")


@router.post("/webhook_endpoints/{webhook_endpoint_id}/rotate_secret", summary="Give an endpoint a new secret")
async def rotate_webhook_endpoint_secret(
    webhook_endpoint_id: str, user: Owner, clients: Clients, body: RotateWebhookSecret | None = None
) -> WebhookEndpointWithSecret:
    """The old one stops signing at once, unless it is kept for 24 hours."""
    request = {"keep_previous": body is not None and body.keep_old_secret_active_for_24_hours}
    rotated = await webhooks.send(clients.notifier, "POST", f"/{_read(webhook_endpoint_id)}/rotate", user.id, request)
    return WebhookEndpointWithSecret.of(WebhookWithSecret.model_validate(rotated))


@router.post(
    "/webhook_endpoints/{webhook_endpoint_id}/test",
    summary="Try a webhook endpoint",
    responses=error_responses(WebhookUnreachable),
)
async def try_webhook_endpoint(
    webhook_endpoint_id: str, body: TryWebhookEndpoint, user: Owner, clients: Clients
) -> WebhookEndpointTested:
    """Sends a sample once. No response is an error."""
    path = f"/{_read(webhook_endpoint_id)}/test"
    response = await webhooks.send(clients.notifier, "POST", path, user.id, body.model_dump())
    result = WebhookTestResult.model_validate(response)
    if result.status_code is None:
        raise WebhookUnreachable(result.error)
    return WebhookEndpointTested(
        webhook_endpoint_id=webhook_endpoint_id, event_type=result.event_type, status_code=result.status_code
    )


@router.get("/webhook_event_types", summary="What events there are")
async def list_webhook_event_types(_: Reader) -> WebhookEventTypeList:
    """OpenAI's fine-tuning events, and our own."""
    return WebhookEventTypeList(data=list(EVENT_TYPES))


def _notifier_body(body: CreateWebhookEndpoint | UpdateWebhookEndpoint) -> dict[str, Any]:
    """The body for the notifier, which calls an endpoint's name its description."""
    request = body.model_dump(mode="json", exclude_none=True)
    if "name" in request:
        request["description"] = request.pop("name")
    return request


def _read(webhook_endpoint_id: str) -> UUID:
    webhook_id = ids.read(ids.WEBHOOK, webhook_endpoint_id)
    if webhook_id is None:
        raise NotFound
    return webhook_id
