"""Errors that a caller is told: the class gives the status and the stable code, its docstring the message."""

from typing import Any


class ServiceError(Exception):
    """Something went wrong."""

    status = 500
    code = "internal_error"
    headers: dict[str, str] = {}  # noqa: RUF012

    def __init__(self, details: Any = None) -> None:
        super().__init__(details)
        self.details = details

    @property
    def message(self) -> str:
        """The sentence that the caller reads."""
        return (self.__doc__ or "").strip()


class NotFound(ServiceError):
    """There is no such thing, or it is not yours."""

    status = 404
    code = "not_found"


class Unauthorized(ServiceError):
    """Sign in first: the token is missing, unknown or expired."""

    status = 401
    code = "unauthorized"
    headers = {"WWW-Authenticate": "Bearer"}  # noqa: RUF012


class Unavailable(ServiceError):
    """A part of the platform does not answer; try again in a moment."""

    status = 503
    code = "unavailable"
    headers = {"Retry-After": "2"}  # noqa: RUF012
