"""The notifier on a slice of its own, asked as the api asks it, with a receiver of webhooks."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

import httpx
import pytest
import pytest_asyncio

from brightrun.notifier import loops, routes
from brightrun.notifier.secret_box import SecretBox
from brightrun.notifier.webhook_sender import WebhookSender
from brightrun.runtime.database import Pool
from tests.conftest import SlicePool
from tests.services import slices
from tests.services.notifier.receiver import Receiver

WEBHOOK_KEY = "the-webhook-key-of-the-tests-is-long-enough"
PRIVATE_HOSTS = frozenset({"127.0.0.1"})

deliver = partial(slices.deliver, "notifier")
Ask = Callable[[UUID], httpx.AsyncClient]


@pytest_asyncio.fixture
async def pool(slice_pool: SlicePool) -> Pool:
    return await slice_pool("notifier")


@pytest.fixture
def sender() -> WebhookSender:
    return WebhookSender(SecretBox(WEBHOOK_KEY), PRIVATE_HOSTS)


@pytest.fixture
def ask(pool: Pool, sender: WebhookSender) -> Ask:
    """`ask(user_id)` is an HTTP client that speaks for the user."""
    return asking(pool, sender)


def asking(pool: Pool, sender: WebhookSender, key: str = WEBHOOK_KEY) -> Ask:
    """The same, of a notifier with a sender and a webhook key of its own."""
    return slices.client_factory("notifier", routes.router, pool, secret_box=SecretBox(key), sender=sender)


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    it = Receiver()
    async with slices.serve(it) as it.url:
        yield it


@dataclass
class Webhooks:
    """One user's webhooks, and the loop that sends, turned by hand."""

    user: UUID
    client: httpx.AsyncClient
    pool: Pool
    sender: WebhookSender

    async def create(self, url: str, **changes: Any) -> dict[str, Any]:
        answer = await self.client.post("/webhooks", json={"url": url} | changes)
        assert answer.status_code == 201, answer.text
        return answer.json()["data"]

    async def get(self, webhook: dict[str, Any]) -> dict[str, Any]:
        return (await self.client.get(f"/webhooks/{webhook['id']}")).json()["data"]

    async def change(self, webhook: dict[str, Any], **changes: Any) -> dict[str, Any]:
        answer = await self.client.patch(f"/webhooks/{webhook['id']}", json=changes)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    async def deliveries(self, webhook: dict[str, Any]) -> list[dict[str, Any]]:
        answer = await self.client.get(f"/webhooks/{webhook['id']}/deliveries")
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]["deliveries"]

    async def send(self) -> int:
        """Send all that is due; returns how many events that was."""
        sent = 0
        while await loops.deliver_next(self.pool, self.sender):
            sent += 1
        return sent

    async def let_pauses_end(self) -> None:
        await self.pool.execute("UPDATE webhook_deliveries SET due_at = now(), leased_until = NULL")

    async def told(self) -> list[str]:
        """The types of the user's notifications, newest first."""
        answer = await self.client.get("/notifications")
        return [notification["type"] for notification in answer.json()["data"]["notifications"]]


@pytest.fixture
def webhooks_of(pool: Pool, ask: Ask, sender: WebhookSender) -> Callable[[UUID], Webhooks]:
    return lambda user: Webhooks(user, ask(user), pool, sender)
