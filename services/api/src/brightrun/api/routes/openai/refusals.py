"""How the OpenAI face refuses: always in OpenAI's shape."""

from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from brightrun.api.errors import Invalid
from brightrun.api.rules.openai.refusals import refuse
from brightrun.api.schemas.body import Refusal
from brightrun.api.schemas.openai.refusal import ErrorAnswer, ErrorView
from brightrun.runtime.database import DATABASE_DOWN
from brightrun.runtime.errors import ServiceError, Unavailable

log = structlog.get_logger()

HTTP_CODES = {400: "unreadable_body", 404: "unknown_url", 405: "method_not_allowed", 413: "too_large"}
UNEXPECTED = "Something went wrong on our side."


def install(face: FastAPI) -> None:
    """Let every refusal of the face have OpenAI's shape."""
    face.add_middleware(Unexpected)
    face.add_exception_handler(ServiceError, _refuse)
    face.add_exception_handler(RequestValidationError, _refuse_invalid)
    face.add_exception_handler(HTTPException, _refuse_http)
    for error in DATABASE_DOWN:
        face.add_exception_handler(error, _refuse_unavailable)


class Unexpected:
    """Answers what nobody expected; outside of it, Starlette would do so in its own words."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; an answer that has begun is broken off by the server."""
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            log.error("request.failed", exc_info=error)
            await _answer(500, "internal_error", UNEXPECTED)(scope, receive, send)


def tell(status: int, refusal: Refusal) -> ErrorAnswer:
    """A refusal in OpenAI's shape."""
    told = refuse(status, refusal.code, refusal.error, refusal.details)
    return ErrorAnswer(error=ErrorView.model_validate(told))


def _answer(
    status: int, code: str, message: str, details: Any = None, headers: dict[str, str] | None = None
) -> Response:
    refusal = tell(status, Refusal(error=message, code=code, details=details))
    return JSONResponse(refusal.model_dump(), status, headers)


async def _refuse(_: Request, error: Any) -> Response:
    return _answer(error.status, error.code, error.message, error.details, error.headers)


async def _refuse_invalid(_: Request, error: Any) -> Response:
    """All wrong fields at once, as on the other face."""
    problems: dict[str, list[str]] = {}
    for problem in error.errors():
        path = ".".join(str(part) for part in problem["loc"][1:]) or str(problem["loc"][0])
        problems.setdefault(path, []).append(problem["msg"].removeprefix("Value error, "))
    return _answer(400, Invalid.code, Invalid().message, problems)


async def _refuse_http(_: Request, error: Any) -> Response:
    code = HTTP_CODES.get(error.status_code, "refused")
    return _answer(error.status_code, code, str(error.detail), headers=dict(error.headers or {}))


async def _refuse_unavailable(_: Request, error: Exception) -> Response:
    log.warning("request.database_down", error=repr(error))
    return _answer(503, Unavailable.code, Unavailable().message, "the database does not answer", Unavailable.headers)
