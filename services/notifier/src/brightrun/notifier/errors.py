"""What the notifier refuses, and in which words."""

from brightrun.runtime.errors import ServiceError


class Invalid(ServiceError):
    """Validation error"""

    status = 400
    code = "validation_error"


class TooManyWebhooks(ServiceError):
    """The account has as many webhooks as it may have: delete one first."""

    status = 409
    code = "too_many_webhooks"


class WebhookDisabled(ServiceError):
    """The webhook is disabled: enable it first."""

    status = 409
    code = "webhook_disabled"
