"""Bodies of webhooks; their fields are in contracts, shared with the notifier, which owns them."""

from pydantic import BaseModel

from brightrun.api.http.bodies import Body, example
from brightrun.contracts.webhooks import (
    NewWebhook,
    SecretRotation,
    WebhookChanges,
    WebhookTest,
)


class CreateWebhook(Body, NewWebhook):
    """A new webhook. `event_types` are names, prefixes such as `fine_tuning.job.*`, or `*` for all."""

    model_config = example({"url": "https://hooks.example.com/brightrun", "event_types": ["fine_tuning.job.*"]})


class ChangeWebhook(Body, WebhookChanges):
    """The changes of a webhook; what is not given stays."""

    model_config = example({"event_types": ["fine_tuning.job.trained"], "enabled": True})


class RotateSecret(Body, SecretRotation):
    """Whether the old secret goes on signing, beside the new one, for 24 hours."""

    model_config = example({"keep_previous": True})


class TryWebhook(Body, WebhookTest):
    """The event to send; the id in it is all zeros."""

    model_config = example({"event_type": "fine_tuning.job.succeeded"})


class WebhookEventTypes(BaseModel):
    """The types of events."""

    event_types: list[str]
