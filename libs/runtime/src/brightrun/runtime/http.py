"""The HTTP side that all services share: answers, errors in one shape, request ids, health, readiness, metrics."""

import asyncio
import contextlib
from typing import Annotated, Any, Generic, TypeVar, cast

import structlog
from fastapi import Depends, FastAPI, Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from brightrun.contracts.values import new_id
from brightrun.runtime.database import DATABASE_DOWN, Pool
from brightrun.runtime.errors import ServiceError, Unavailable

log = structlog.get_logger()

T = TypeVar("T")
CODES = {400: "unreadable_body", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}


class Envelope(BaseModel, Generic[T]):
    """What every successful call answers with."""

    success: bool = True
    data: T


def create_app(service: str, service_secret: str = "", **options: Any) -> FastAPI:
    """An application whose every refusal is `{"error": …, "code": …, "details": …}`."""
    app = FastAPI(title=f"BrightRun {service}", **options)
    app.state.service_name = service
    app.state.service_secret = service_secret
    app.state.stopping = asyncio.Event()
    app.add_middleware(RequestId)
    app.add_exception_handler(ServiceError, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_invalid)
    app.add_exception_handler(HTTPException, _refuse_http)
    app.exception_handlers |= dict.fromkeys(DATABASE_DOWN, _refuse_unavailable)
    app.add_exception_handler(Exception, _refuse_unexpected)

    @app.get("/health", include_in_schema=False)
    async def health() -> Envelope[str]:
        return Envelope(data="alive")

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return app


async def _pool(request: Request) -> Pool:
    """The service's connection pool."""
    return cast("Pool", request.app.state.pool)


Db = Annotated[Pool, Depends(_pool)]
"""A route's parameter: the pool, so that the route itself opens the transaction and commits before it answers."""


def error_response(
    status: int, error: str, code: str, details: Any = None, headers: dict[str, str] | None = None
) -> Response:
    """An error answer in the one shape."""
    return JSONResponse({"error": error, "code": code, "details": jsonable_encoder(details)}, status, headers)


async def _refuse(_: Request, error: Any) -> Response:
    return error_response(error.status, error.message, error.code, error.details, error.headers)


async def _refuse_invalid(_: Request, error: Any) -> Response:
    """All wrong fields at once: dotted path → what is wrong with it."""
    problems: dict[str, list[str]] = {}
    for problem in error.errors():
        path = ".".join(str(part) for part in problem["loc"][1:]) or str(problem["loc"][0])
        problems.setdefault(path, []).append(problem["msg"].removeprefix("Value error, "))
    return error_response(400, "Validation error", "validation_error", problems)


async def _refuse_http(_: Request, error: Any) -> Response:
    return error_response(
        error.status_code, str(error.detail), CODES.get(error.status_code, "refused"), None, error.headers
    )


async def _refuse_unavailable(_: Request, error: Exception) -> Response:
    log.warning("request.database_down", error=repr(error))
    return error_response(
        503, Unavailable().message, Unavailable.code, "the database does not answer", Unavailable.headers
    )


async def _refuse_unexpected(_: Request, error: Exception) -> Response:
    log.error("request.failed", exc_info=error)
    return error_response(500, "Something went wrong on our side.", "internal_error")


class RequestId:
    """Gives every request an id, or keeps the caller's; it is in the logs and in the answer as `x-request-id`.

    Starlette would answer what nobody expected outside of all middleware; done here, that answer is complete as well.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its id bound to the logs."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        app, given = scope["app"], dict(scope["headers"]).get(b"x-request-id", b"")[:64]
        request_id = given if given.isascii() and given.replace(b"-", b"").isalnum() else str(new_id()).encode()

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id.decode()):
            try:
                await self._app(scope, receive, send_with_id)
            except Exception as error:
                answer = await app.exception_handlers[Exception](Request(scope), error)
                with contextlib.suppress(RuntimeError):  # an answer that has begun is broken off by the server
                    await answer(scope, receive, send_with_id)
