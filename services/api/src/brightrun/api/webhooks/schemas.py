"""Bodies of webhooks; what they are made of is agreed with the notifier, which owns them."""

from pydantic import BaseModel

from brightrun.api.http.bodies import Body, Pagination, example
from brightrun.contracts.webhooks import (
    NewWebhook,
    SecretRotation,
    Webhook,
    WebhookChanges,
    WebhookDelivery,
    WebhookTest,
)


class CreateWebhook(Body, NewWebhook):
    """A new webhook. `event_types` are names, prefixes such as `fine_tuning.job.*`, or `*` for all."""

    model_config = example({"url": "https://hooks.example.com/brightrun", "event_types": ["fine_tuning.job.*"]})


class ChangeWebhook(Body, WebhookChanges):
    """What is to be different; what is not given stays as it is."""

    model_config = example({"event_types": ["fine_tuning.job.trained"], "enabled": True})


class RotateSecret(Body, SecretRotation):
    """Whether the old secret goes on signing, beside the new one, for 24 hours."""

    model_config = example({"keep_previous": True})


class TryWebhook(Body, WebhookTest):
    """Which event is sent; it tells of a thing whose id is all zeros."""

    model_config = example({"event_type": "fine_tuning.job.succeeded"})


class Webhooks(BaseModel):
    """All of the user's webhooks, newest first."""

    webhooks: list[Webhook]


class WebhookDeliveries(BaseModel):
    """A page of what was sent to a webhook, newest first."""

    deliveries: list[WebhookDelivery]
    pagination: Pagination


class WebhookEventTypes(BaseModel):
    """What events there are."""

    event_types: list[str]
