"""What the notifier refuses, and in which words."""

from brightrun.runtime.errors import ServiceError


class Invalid(ServiceError):
    """Validation error"""

    status = 400
    code = "validation_error"
