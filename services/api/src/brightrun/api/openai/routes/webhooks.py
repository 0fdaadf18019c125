"""HTTP routes of webhook endpoints (`client.webhooks`)."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool

from brightrun.api.accounts.authentication import Owner, Reader
from brightrun.api.errors import WebhookUnreachable
from brightrun.api.http.bodies import Body, example
from brightrun.api.http.error_responses import error_responses
from brightrun.api.http.parameters import WHOLE_NUMBER, Clients
from brightrun.api.openai import ids
from brightrun.api.openai.file_schemas import After, Deleted, ListOf, UnixSeconds, prefixed
from brightrun.contracts.errors import TooManyWebhooks
from brightrun.contracts.webhooks import (
    EVENT_TYPES,
    Description,
    EventPatterns,
    EventType,
    WebhookTestResult,
    WebhookUrl,
)
from brightrun.runtime.errors import NotFound
from brightrun.runtime.http import BoundedRoute


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

    keep_old_secret_active_for_24_hours: StrictBool = False


class TryWebhookEndpoint(Body):
    """The event type of the sample."""

    model_config = example({"event_type": "fine_tuning.job.succeeded"})

    event_type: EventType


class WebhookEndpoint(BaseModel):
    """A webhook endpoint, from the notifier's webhook."""

    model_config = ConfigDict(from_attributes=True)

    id: Annotated[str, prefixed(ids.WEBHOOK)]
    object: Literal["webhook_endpoint"] = "webhook_endpoint"
    created_at: UnixSeconds
    updated_at: UnixSeconds
    name: str = Field(validation_alias="description")
    url: str
    event_types: list[str]
    signing_secret_hint: Annotated[str, BeforeValidator("whsec_…{}".format)] = Field(validation_alias="secret_hint")


class WebhookEndpointWithSecret(WebhookEndpoint):
    """An endpoint with the secret that signs its events; it is shown only this once."""

    signing_secret: Annotated[str, Field(repr=False, validation_alias="secret")]


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


router = APIRouter(tags=["webhooks"], route_class=BoundedRoute)


@router.post("/webhook_endpoints", summary="Make a webhook endpoint", responses=error_responses(TooManyWebhooks))
async def create_webhook_endpoint(
    body: CreateWebhookEndpoint, user: Owner, clients: Clients
) -> WebhookEndpointWithSecret:
    """Only this response contains the secret that signs its events."""
    created = await clients.notifier.change_webhook("POST", "", user.id, _notifier_body(body))
    return WebhookEndpointWithSecret.model_validate(created)


@router.get("/webhook_endpoints", summary="Your webhook endpoints", responses=error_responses(NotFound))
async def list_webhook_endpoints(
    user: Reader, clients: Clients, after: After = None, limit: Annotated[int, Query(ge=1, le=100), WHOLE_NUMBER] = 20
) -> WebhookEndpoints:
    """Newest first."""
    found = [WebhookEndpoint.model_validate(webhook) for webhook in await clients.notifier.list_webhooks(user.id)]
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
    return WebhookEndpoint.model_validate(response)


@router.post("/webhook_endpoints/{webhook_endpoint_id}", summary="Change a webhook endpoint")
async def update_webhook_endpoint(
    webhook_endpoint_id: str, body: UpdateWebhookEndpoint, user: Owner, clients: Clients
) -> WebhookEndpoint:
    """Fields that are not given stay."""
    path = f"/{_read(webhook_endpoint_id)}"
    changed = await clients.notifier.change_webhook("PATCH", path, user.id, _notifier_body(body))
    return WebhookEndpoint.model_validate(changed)


@router.delete("/webhook_endpoints/{webhook_endpoint_id}", summary="Delete a webhook endpoint")
async def delete_webhook_endpoint(webhook_endpoint_id: str, user: Owner, clients: Clients) -> Deleted:
    """Pending events are not sent."""
    await clients.notifier.change_webhook("DELETE", f"/{_read(webhook_endpoint_id)}", user.id)
    return Deleted(id=webhook_endpoint_id, object="webhook_endpoint.deleted")


@router.post("/webhook_endpoints/{webhook_endpoint_id}/rotate_secret", summary="Give an endpoint a new secret")
async def rotate_webhook_endpoint_secret(
    webhook_endpoint_id: str, user: Owner, clients: Clients, body: RotateWebhookSecret | None = None
) -> WebhookEndpointWithSecret:
    """The old one stops signing at once, unless it is kept for 24 hours."""
    request = {"keep_previous": body is not None and body.keep_old_secret_active_for_24_hours}
    rotated = await clients.notifier.change_webhook("POST", f"/{_read(webhook_endpoint_id)}/rotate", user.id, request)
    return WebhookEndpointWithSecret.model_validate(rotated)


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
    response = await clients.notifier.change_webhook("POST", path, user.id, body.model_dump())
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
    return ids.require(ids.WEBHOOK, webhook_endpoint_id, NotFound)
