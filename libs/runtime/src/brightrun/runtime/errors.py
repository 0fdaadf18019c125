"""Errors of every service: the class gives the status and the stable code, its docstring the message."""

from brightrun.contracts.errors import ServiceError

__all__ = ["NotFound", "ServiceError", "Unauthorized", "Unavailable"]


class NotFound(ServiceError, status=404, code="not_found"):
    """There is no such thing, or it is not yours."""


class Unauthorized(ServiceError, status=401, code="unauthorized", headers={"WWW-Authenticate": "Bearer"}):
    """Sign in first: the token is missing, unknown or expired."""


class Unavailable(ServiceError, status=503, code="unavailable", headers={"Retry-After": "2"}):
    """A part of the platform does not answer; try again in a moment."""
