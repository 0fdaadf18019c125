"""Internal reads and changes: a user's notifications and webhooks."""

from typing import Annotated, cast
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import HttpUrl

from brightrun.contracts.pagination import Pagination
from brightrun.contracts.values import new_id, utc_now
from brightrun.contracts.webhooks import (
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
from brightrun.notifier.actions import webhooks as actions
from brightrun.notifier.queries import deliveries, notifications, webhooks
from brightrun.notifier.rules.addresses import ForbiddenAddress
from brightrun.notifier.rules.webhook_events import sample
from brightrun.notifier.schemas import MarkedView, NotificationsView, NotificationView, delivery_view, webhook_view
from brightrun.notifier.secret_box import SecretBox
from brightrun.notifier.webhook_sender import WebhookSender
from brightrun.runtime.database import Db, transaction
from brightrun.runtime.errors import NotFound, ServiceError
from brightrun.runtime.http import Envelope
from brightrun.runtime.tokens import CallerOf

router = APIRouter()


class Invalid(ServiceError, status=400, code="validation_error"):
    """Validation error"""


async def _secret_box(request: Request) -> SecretBox:
    return cast("SecretBox", request.app.state.secret_box)


async def _sender(request: Request) -> WebhookSender:
    return cast("WebhookSender", request.app.state.sender)


Secrets = Annotated[SecretBox, Depends(_secret_box)]
Sender = Annotated[WebhookSender, Depends(_sender)]


@router.get("/notifications")
async def list_notifications(
    caller: CallerOf, pool: Db, unread: bool = False, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> Envelope[NotificationsView]:
    """The user's newest notifications, or the newest unread ones."""
    async with pool.acquire() as conn:
        newest = await notifications.list_newest(conn, caller.user, unread_only=unread, limit=limit)
        unread_count = await notifications.count_unread(conn, caller.user)
    views = [NotificationView.model_validate(notification) for notification in newest]
    return Envelope(data=NotificationsView(notifications=views, unread_count=unread_count))


@router.patch("/notifications/{notification_id}/read")
async def mark_read(notification_id: UUID, caller: CallerOf, pool: Db) -> Envelope[NotificationView]:
    """Mark one as read; once more changes nothing."""
    async with transaction(pool) as conn:
        notification = await notifications.mark_read(conn, caller.user, notification_id)
    if notification is None:
        raise NotFound
    return Envelope(data=NotificationView.model_validate(notification))


@router.post("/notifications/read-all")
async def mark_all_read(caller: CallerOf, pool: Db) -> Envelope[MarkedView]:
    """Mark all of the user's notifications as read."""
    async with transaction(pool) as conn:
        marked = await notifications.mark_all_read(conn, caller.user)
    return Envelope(data=MarkedView(marked=marked))


@router.get("/webhooks")
async def list_webhooks(caller: CallerOf, pool: Db) -> Envelope[Webhooks]:
    """All of them, newest first; there are few."""
    async with pool.acquire() as conn:
        endpoints = await webhooks.list_endpoints(conn, caller.user)
    return Envelope(data=Webhooks(webhooks=[webhook_view(endpoint) for endpoint in endpoints]))


@router.post("/webhooks", status_code=201)
async def create_webhook(
    body: NewWebhook, caller: CallerOf, pool: Db, secret_box: Secrets, sender: Sender
) -> Envelope[WebhookWithSecret]:
    """Only this response shows the secret."""
    await _check(sender, body.url)
    secret, sealed = secret_box.new_secret()
    async with transaction(pool) as conn:
        endpoint = await actions.create(conn, caller.user, body, sealed)
    return Envelope(data=WebhookWithSecret(secret=secret, **dict(webhook_view(endpoint))))


@router.get("/webhooks/{webhook_id}")
async def get_webhook(webhook_id: UUID, caller: CallerOf, pool: Db) -> Envelope[Webhook]:
    """One of the user's."""
    async with pool.acquire() as conn:
        return Envelope(data=webhook_view(await actions.find(conn, caller.user, webhook_id)))


@router.patch("/webhooks/{webhook_id}")
async def change_webhook(
    webhook_id: UUID, body: WebhookChanges, caller: CallerOf, pool: Db, sender: Sender
) -> Envelope[Webhook]:
    """Enabling an endpoint sends its pending deliveries."""
    async with pool.acquire() as conn:
        await actions.find(conn, caller.user, webhook_id)
    if body.url is not None:
        await _check(sender, body.url)
    async with transaction(pool) as conn:
        endpoint = await actions.change(conn, caller.user, webhook_id, body)
    return Envelope(data=webhook_view(endpoint))


@router.delete("/webhooks/{webhook_id}")
async def delete_webhook(webhook_id: UUID, caller: CallerOf, pool: Db) -> Envelope[None]:
    """Deletes its pending deliveries and its log too."""
    async with transaction(pool) as conn:
        await actions.delete(conn, caller.user, webhook_id)
    return Envelope(data=None)


@router.post("/webhooks/{webhook_id}/rotate")
async def rotate_secret(
    webhook_id: UUID, caller: CallerOf, pool: Db, secret_box: Secrets, body: SecretRotation
) -> Envelope[WebhookWithSecret]:
    """Only this response shows the new secret."""
    secret, sealed = secret_box.new_secret()
    async with transaction(pool) as conn:
        endpoint = await actions.rotate(
            conn, caller.user, webhook_id, sealed, keep_previous=body.keep_previous, now=utc_now()
        )
    return Envelope(data=WebhookWithSecret(secret=secret, **dict(webhook_view(endpoint))))


@router.post("/webhooks/{webhook_id}/test")
async def try_webhook(
    webhook_id: UUID, body: WebhookTest, caller: CallerOf, pool: Db, sender: Sender
) -> Envelope[WebhookTestResult]:
    """Send a sample event now, once, whatever the endpoint subscribes to and even if it is disabled."""
    async with pool.acquire() as conn:
        endpoint = await actions.find(conn, caller.user, webhook_id)
    reply = await sender.send(endpoint, sample(new_id(), body.event_type, utc_now()))
    result = WebhookTestResult(
        event_type=body.event_type,
        status_code=reply.status_code,
        duration_ms=reply.duration_ms,
        error=reply.error,
    )
    return Envelope(data=result)


@router.get("/webhooks/{webhook_id}/deliveries")
async def list_deliveries(
    webhook_id: UUID,
    caller: CallerOf,
    pool: Db,
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Envelope[WebhookDeliveries]:
    """What was sent to the endpoint in the last 30 days, newest first."""
    async with pool.acquire() as conn:
        await actions.find(conn, caller.user, webhook_id)
        found = await deliveries.list_page(conn, webhook_id, (page - 1) * limit, limit)
        total = await deliveries.count(conn, webhook_id)
        attempts = await deliveries.list_attempts(conn, [delivery.id for delivery in found])
    views = [delivery_view(delivery, attempts[delivery.id]) for delivery in found]
    pagination = Pagination.of(page, limit, total)
    return Envelope(data=WebhookDeliveries(deliveries=views, pagination=pagination))


@router.post("/webhooks/{webhook_id}/deliveries/{delivery_id}/replay")
async def replay_delivery(webhook_id: UUID, delivery_id: UUID, caller: CallerOf, pool: Db) -> Envelope[WebhookDelivery]:
    """Send an event again, under the same id and with all its retries."""
    async with transaction(pool) as conn:
        delivery = await actions.replay(conn, caller.user, webhook_id, delivery_id)
        attempts = await deliveries.list_attempts(conn, [delivery_id])
    return Envelope(data=delivery_view(delivery, attempts[delivery_id]))


async def _check(sender: WebhookSender, url: HttpUrl) -> None:
    try:
        await sender.check(str(url))
    except ForbiddenAddress as error:
        raise Invalid({"url": [str(error)]}) from None
