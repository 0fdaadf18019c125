"""Errors of the OpenAI dialect, in OpenAI's shape."""

from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from brightrun.api.checkpoints.actions import COPY_ERRORS
from brightrun.api.errors import Invalid
from brightrun.api.http.error_responses import ErrorBody
from brightrun.runtime.database import DATABASE_DOWN
from brightrun.runtime.errors import ServiceError, Unavailable
from brightrun.runtime.http import field_errors

log = structlog.get_logger()
HTTP_CODES = {400: "unreadable_body", 404: "unknown_url", 405: "method_not_allowed", 413: "too_large"}
UNEXPECTED = "Something went wrong on our side."
MAX_MESSAGE_LENGTH = 2000
CODES = {"unauthorized": "invalid_api_key", "rate_limited": "rate_limit_exceeded"}
"""Codes that clients of OpenAI know under another name."""
FIELD_CODES = frozenset(
    {
        "validation_error",
        "untrainable",
        "not_runnable",
        "unsupported_parameter",
        "file_not_found",
        "dataset_not_found",
        "dataset_not_ready",
        "model_not_found",
    }
)
"""Codes of errors whose `details` map fields of the request to problems."""
PARAMS = {
    "file_not_found": "file",
    "dataset_not_found": "training_file",
    "dataset_not_ready": "training_file",
    **{error.code: "model" for error in COPY_ERRORS},
}
"""The wrong field of errors that name none."""


class ErrorView(BaseModel):
    """Why a request was rejected. `param` is the first wrong field; `message` names all of them; `code` is stable."""

    message: str
    type: str
    param: str | None
    code: str


class ErrorAnswer(BaseModel):
    """The body of every error response."""

    error: ErrorView


def install(app: FastAPI) -> None:
    """Answer every error of the app in OpenAI's shape."""
    app.add_middleware(UnexpectedErrors)
    app.add_exception_handler(ServiceError, _on_service_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_error)
    for error in DATABASE_DOWN:
        app.add_exception_handler(error, _on_database_down)


class UnexpectedErrors:
    """Answers unhandled exceptions; outside of it, Starlette would do so in its own shape."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on. The server aborts a response that has begun."""
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            log.error("request.failed", exc_info=error)
            await _response(500, "internal_error", UNEXPECTED)(scope, receive, send)


def error_answer(status: int, error: ErrorBody) -> ErrorAnswer:
    """An error in OpenAI's shape; `details` that map fields to problems become part of the message."""
    fields = _fields(error.details) if error.code in FIELD_CODES else []
    explanation = _explain(error.details)
    sentence = error.error.rstrip(".") + (f": {explanation}" if explanation else ".")
    view = ErrorView(
        message=sentence[:MAX_MESSAGE_LENGTH],
        type=_type(status),
        param=fields[0] if fields else PARAMS.get(error.code),
        code=CODES.get(error.code, error.code),
    )
    return ErrorAnswer(error=view)


def _response(
    status: int, code: str, message: str, details: Any = None, headers: dict[str, str] | None = None
) -> Response:
    answer = error_answer(status, ErrorBody(error=message, code=code, details=details))
    return JSONResponse(answer.model_dump(), status, headers)


async def _on_service_error(_: Request, error: Any) -> Response:
    return _response(error.status, error.code, error.message, error.details, error.headers)


async def _on_invalid_request(_: Request, error: Any) -> Response:
    return _response(400, Invalid.code, Invalid().message, field_errors(error))


async def _on_http_error(_: Request, error: Any) -> Response:
    code = HTTP_CODES.get(error.status_code, "refused")
    return _response(error.status_code, code, str(error.detail), headers=dict(error.headers or {}))


async def _on_database_down(_: Request, error: Exception) -> Response:
    log.warning("request.database_down", error=repr(error))
    return _response(503, Unavailable.code, Unavailable().message, "the database does not answer", Unavailable.headers)


def _type(status: int) -> str:
    if status == 429:
        return "rate_limit_error"
    return "server_error" if status >= 500 else "invalid_request_error"


def _fields(details: Any) -> list[str]:
    """The wrong fields, if `details` map fields to problems."""
    if isinstance(details, dict) and all(isinstance(problems, list) for problems in details.values()):
        return [name for name in details if details[name] and isinstance(details[name][0], str) and name != "body"]
    return []


def _explain(details: Any) -> str:
    if details is None or isinstance(details, str):
        return details or ""
    if isinstance(details, dict):
        return "; ".join(f"{name}: {_explain(value)}" for name, value in details.items())
    if isinstance(details, list):
        return ", ".join(map(_explain, details))
    return str(details)
