"""Due events are sent to webhooks, and old deliveries are deleted."""

import asyncio
import random
from collections.abc import Callable
from datetime import timedelta

import structlog

from brightrun.contracts.values import utc_now
from brightrun.notifier.actions import webhooks as actions
from brightrun.notifier.models import Endpoint, LeasedDelivery
from brightrun.notifier.queries import deliveries, webhooks
from brightrun.notifier.webhook_sender import WebhookSender
from brightrun.runtime.database import Pool, transaction
from brightrun.runtime.failpoints import failpoint

log = structlog.get_logger()

LEASE = timedelta(seconds=30)
"""Three times what a receiver may take."""
RETENTION = timedelta(days=30)
CONCURRENT = 64
CONCURRENT_OF_USER = 4
CONCURRENT_TO_FAILING = 32
"""Deliveries at once: in this process, for a user, and to all endpoints whose last attempt failed."""


class Dispatcher:
    """Sends due events concurrently; slow receivers of some users leave room for those of others."""

    def __init__(self, pool: Pool, sender: WebhookSender, wake: Callable[[], None]) -> None:
        self._pool = pool
        self._sender = sender
        self._wake = wake
        self._sending: set[asyncio.Task[None]] = set()

    async def work(self) -> bool:
        """Begin to send what is due; False, as the end of a delivery wakes the loop."""
        while len(self._sending) < CONCURRENT and (leased := await _lease(self._pool)):
            task = asyncio.create_task(_send(self._pool, self._sender, *leased))
            self._sending.add(task)
            task.add_done_callback(self._on_end)
        return False

    async def stop(self) -> None:
        """Finish the deliveries in progress."""
        await asyncio.gather(*self._sending, return_exceptions=True)

    def _on_end(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.warning("webhook.not_recorded", error=repr(error))  # sent again when its lease is over
        self._wake()


async def deliver_next(pool: Pool, sender: WebhookSender) -> bool:
    """Send one event that is due; False if none is.

    A crash after the receiver has it and before that is written down sends it again, under the same webhook-id.
    """
    leased = await _lease(pool)
    if leased:
        await _send(pool, sender, *leased)
    return bool(leased)


async def _lease(pool: Pool) -> tuple[LeasedDelivery, Endpoint] | None:
    async with transaction(pool) as conn:
        lease = await deliveries.lease_next(conn, LEASE, CONCURRENT_OF_USER, CONCURRENT_TO_FAILING)
        endpoint = await webhooks.find_endpoint(conn, lease.endpoint_id) if lease else None
    return (lease, endpoint) if lease and endpoint else None


async def _send(pool: Pool, sender: WebhookSender, lease: LeasedDelivery, endpoint: Endpoint) -> None:
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


async def prune(pool: Pool) -> bool:
    """Delete deliveries after 30 days, and secrets that no longer sign; True if there may be more."""
    async with transaction(pool) as conn:
        await webhooks.forget_old_secrets(conn)
        return await deliveries.delete_older(conn, RETENTION)
