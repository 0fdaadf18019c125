"""Due events are sent to webhooks, and old deliveries are deleted."""

import random
from datetime import timedelta

import structlog

from brightrun.contracts.values import utc_now
from brightrun.notifier.actions import webhooks as actions
from brightrun.notifier.queries import deliveries, webhooks
from brightrun.notifier.webhook_sender import WebhookSender
from brightrun.runtime.database import Pool, transaction
from brightrun.runtime.failpoints import failpoint

log = structlog.get_logger()

LEASE = timedelta(seconds=30)
"""Three times what a receiver may take."""
RETENTION = timedelta(days=30)


async def deliver_next(pool: Pool, sender: WebhookSender) -> bool:
    """Send one event that is due; False if none is. Several may send side by side.

    A crash after the receiver has it and before that is written down sends it again, under the same webhook-id.
    """
    async with transaction(pool) as conn:
        lease = await deliveries.lease_next(conn, LEASE)
        endpoint = await webhooks.find_endpoint(conn, lease.endpoint_id) if lease else None
    if lease is None or endpoint is None:
        return False
    failpoint("webhook.leased")
    reply = await sender.send(endpoint, lease.event)
    failpoint("webhook.sent")
    async with transaction(pool) as conn:
        recorded = await actions.record(conn, lease, reply, chance=random.random(), now=utc_now())  # noqa: S311 - jitter
    log.info(
        "webhook.sent" if recorded else "webhook.lease_lost",
        endpoint_id=str(lease.endpoint_id), delivery_id=str(lease.delivery_id), status=reply.status_code,
        error=reply.error,
    )  # fmt: skip
    return True


async def prune(pool: Pool) -> bool:
    """Delete deliveries after 30 days, and secrets that no longer sign; True if there may be more."""
    async with transaction(pool) as conn:
        await webhooks.forget_old_secrets(conn)
        return await deliveries.delete_older(conn, RETENTION)
