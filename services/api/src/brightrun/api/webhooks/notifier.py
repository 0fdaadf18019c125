"""The notifier's webhooks."""

from typing import Any
from uuid import UUID

from brightrun.contracts.webhooks import Webhook
from brightrun.runtime.clients import ServiceClient

TIMEOUT_SECONDS = 15.0
"""Longer than the notifier waits for a receiver and for DNS."""


async def send(
    notifier: ServiceClient, method: str, path: str, user_id: UUID, body: dict[str, Any] | None = None
) -> Any:
    """Change or test the user's webhooks; a test lasts as long as its receiver."""
    return await notifier.send(method, f"/webhooks{path}", user_id, json=body, timeout=TIMEOUT_SECONDS)


async def fetch_all(notifier: ServiceClient, user_id: UUID) -> list[Webhook]:
    """The user's webhooks, newest first; there are few."""
    found = await notifier.get("/webhooks", user_id)
    return [Webhook.model_validate(webhook) for webhook in found["webhooks"]]
