"""Endpoints are created, changed and deleted; the replies of their receivers are recorded."""

from datetime import datetime
from uuid import UUID

import structlog
from prometheus_client import Counter

from brightrun.contracts.errors import TooManyWebhooks, WebhookDisabled
from brightrun.contracts.values import new_id
from brightrun.contracts.webhooks import MAX_WEBHOOKS, NewWebhook, WebhookChanges
from brightrun.notifier.models import Delivery, Endpoint, LeasedDelivery, Reply, SealedSecret
from brightrun.notifier.queries import deliveries, notifications, webhooks
from brightrun.notifier.rules.deliveries import OLD_SECRET_SIGNS, breaker_pause, disabled_reason, evaluate
from brightrun.notifier.rules.notification_templates import webhook_disabled
from brightrun.runtime.database import Connection
from brightrun.runtime.errors import NotFound

log = structlog.get_logger()

SENT = Counter("brightrun_webhook_attempts_total", "Webhook events that were sent, by what became of them.", ["status"])


async def create(conn: Connection, user_id: UUID, webhook: NewWebhook, sealed: SealedSecret) -> Endpoint:
    """A new endpoint of the user. Raises `TooManyWebhooks`."""
    await webhooks.lock_user(conn, user_id)
    if await webhooks.count_endpoints(conn, user_id) >= MAX_WEBHOOKS:
        raise TooManyWebhooks({"most": MAX_WEBHOOKS})
    return await webhooks.insert_endpoint(
        conn, user_id, sealed, url=str(webhook.url), description=webhook.description, event_types=webhook.event_types
    )


async def find(conn: Connection, user_id: UUID, endpoint_id: UUID) -> Endpoint:
    """The user's endpoint. Raises `NotFound`."""
    return _owned(await webhooks.find_endpoint(conn, endpoint_id), user_id)


async def change(conn: Connection, user_id: UUID, endpoint_id: UUID, changes: WebhookChanges) -> Endpoint:
    """Change the user's endpoint where it differs. Raises `NotFound`."""
    before = _owned(await webhooks.lock_endpoint(conn, endpoint_id), user_id)
    after = (
        before.url if changes.url is None else str(changes.url),
        before.description if changes.description is None else changes.description,
        before.event_types if changes.event_types is None else changes.event_types,
    )
    if after != (before.url, before.description, before.event_types):
        await webhooks.save_endpoint(conn, endpoint_id, *after)
    if changes.enabled is True and not before.enabled:
        await webhooks.enable(conn, endpoint_id)
        await deliveries.make_due(conn, endpoint_id)
    if changes.enabled is False and before.enabled:
        await webhooks.disable(conn, endpoint_id, "user")
    return await find(conn, user_id, endpoint_id)


async def rotate(
    conn: Connection, user_id: UUID, endpoint_id: UUID, sealed: SealedSecret, *, keep_previous: bool, now: datetime
) -> Endpoint:
    """The user's endpoint with a new secret. Raises `NotFound`."""
    _owned(await webhooks.lock_endpoint(conn, endpoint_id), user_id)
    await webhooks.rotate_secret(conn, endpoint_id, sealed, now + OLD_SECRET_SIGNS if keep_previous else None)
    return await find(conn, user_id, endpoint_id)


async def delete(conn: Connection, user_id: UUID, endpoint_id: UUID) -> None:
    """Delete the user's endpoint and its deliveries. Raises `NotFound`."""
    if not await webhooks.delete_endpoint(conn, user_id, endpoint_id):
        raise NotFound


async def replay(conn: Connection, user_id: UUID, endpoint_id: UUID, delivery_id: UUID) -> Delivery:
    """Send one of an endpoint's events again. Raises `NotFound`, `WebhookDisabled`."""
    endpoint = _owned(await webhooks.lock_endpoint(conn, endpoint_id), user_id)
    if not endpoint.enabled:
        raise WebhookDisabled
    delivery = await deliveries.replay(conn, endpoint_id, delivery_id)
    if delivery is None:
        raise NotFound
    return delivery


async def record(conn: Connection, lease: LeasedDelivery, reply: Reply, *, chance: float, now: datetime) -> bool:
    """Record a reply and what follows from it; False, and nothing is changed, if the lease is lost."""
    endpoint = await webhooks.lock_endpoint(conn, lease.endpoint_id)
    verdict = evaluate(reply, lease.attempts, chance, now)
    if endpoint is None or not await deliveries.save_verdict(conn, lease, verdict):
        return False
    await deliveries.insert_attempt(conn, lease.delivery_id, now, reply)
    await _record_health(conn, endpoint, reply, now)
    SENT.labels(verdict.status).inc()
    return True


async def _record_health(conn: Connection, endpoint: Endpoint, reply: Reply, now: datetime) -> None:
    if reply.succeeded:
        if endpoint.failing_since:
            await webhooks.save_health(conn, endpoint.id, None, 0, None)
        return
    failing_since, failures = endpoint.failing_since or now, endpoint.failures + 1
    pause = breaker_pause(failures)
    await webhooks.save_health(conn, endpoint.id, failing_since, failures, now + pause if pause else None)
    if pause:
        await deliveries.delay(conn, endpoint.id, now + pause)
    reason = disabled_reason(reply, failing_since, now)
    if reason and endpoint.enabled:
        await webhooks.disable(conn, endpoint.id, reason)
        notification = webhook_disabled(endpoint, reason)
        await notifications.insert(conn, endpoint.user_id, notification, source_event_id=new_id(), created_at=now)
        log.warning("webhook.disabled", endpoint_id=str(endpoint.id), reason=reason)


def _owned(endpoint: Endpoint | None, user_id: UUID) -> Endpoint:
    if endpoint is None or endpoint.user_id != user_id:
        raise NotFound
    return endpoint
