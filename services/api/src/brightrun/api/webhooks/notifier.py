"""The notifier as the keeper of webhooks."""

from typing import Any
from uuid import UUID

from brightrun.contracts.webhooks import Webhook
from brightrun.runtime.clients import ServiceClient

PATIENCE_SECONDS = 15.0
"""More than the notifier gives a receiver, or the resolver of its name."""


async def ask(
    notifier: ServiceClient, method: str, path: str, user_id: UUID, body: dict[str, Any] | None = None
) -> Any:
    """Ask for a change of the user's webhooks, or for a test of one, which takes as long as its receiver."""
    return await notifier.send(method, f"/webhooks{path}", user_id, json=body, timeout=PATIENCE_SECONDS)


async def fetch_all(notifier: ServiceClient, user_id: UUID) -> list[Webhook]:
    """The user's webhooks, newest first; there are few."""
    told = await notifier.get("/webhooks", user_id)
    return [Webhook.model_validate(webhook) for webhook in told["webhooks"]]
