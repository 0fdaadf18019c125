"""HTTP that all services share: envelope, errors, request ids, bounded bodies, security headers, health, metrics."""

import asyncio
import contextlib
import hmac
import json
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from brightrun.contracts.values import new_id
from brightrun.runtime.errors import ServiceError, Unauthorized, Unavailable

log = structlog.get_logger()

T = TypeVar("T")
Errors = tuple[type[Exception], ...]
MAX_DIGITS = 100
"""Of a whole number in JSON that are read: more exceed every limit, and Python reads no more than 4300."""
UNAVAILABLE = (ConnectionError, TimeoutError)
CODES = {400: "unreadable_body", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}


class Envelope(BaseModel, Generic[T]):
    """What every successful call answers with."""

    success: bool = True
    data: T


def create_app(
    service: str, service_secret: str = "", unavailable: Errors = (), metrics_token: str | None = None, **options: Any
) -> FastAPI:
    """An application whose errors are `{"error": …, "code": …, "details": …}`; `unavailable` errors answer 503.

    `metrics_token`: the bearer token that `/metrics` needs; an empty one is nobody's, and without one it is open.
    """
    app = FastAPI(title=f"BrightRun {service}", **options)
    app.state.service_name = service
    app.state.service_secret = service_secret
    app.state.stopping = asyncio.Event()
    app.add_middleware(RequestId)
    errors = (ServiceError, RequestValidationError, HTTPException, *unavailable, *UNAVAILABLE, Exception)
    app.exception_handlers |= dict.fromkeys(errors, partial(_on_error, unavailable=(*unavailable, *UNAVAILABLE)))

    @app.get("/health", include_in_schema=False)
    async def health() -> Envelope[str]:
        return Envelope(data="alive")

    @app.get("/metrics", include_in_schema=False)
    async def metrics(request: Request) -> Response:
        token = request.headers.get("authorization", "").removeprefix("Bearer ").encode()
        if metrics_token is not None and not (token and hmac.compare_digest(token, metrics_token.encode())):
            raise Unauthorized
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return app


def error_response(
    status: int, error: str, code: str, details: Any = None, headers: Mapping[str, str] | None = None
) -> Response:
    """An error answer in the one shape."""
    return JSONResponse({"error": error, "code": code, "details": jsonable_encoder(details)}, status, headers)


def field_errors(error: RequestValidationError) -> dict[str, list[str]]:
    """All wrong fields at once: dotted path → what is wrong with it."""
    errors: dict[str, list[str]] = {}
    for problem in error.errors():
        if problem["type"] == "json_invalid":
            lines = error.body[: problem["loc"][-1]].split("\n")
            return {"body": [f"no JSON at line {len(lines)}, column {len(lines[-1]) + 1}: {problem['ctx']['error']}"]}
        path = ".".join(str(part) for part in problem["loc"][1:]) or str(problem["loc"][0])
        errors.setdefault(path, []).append(problem["msg"].removeprefix("Value error, "))
    return errors


async def _on_error(_: Request, error: Exception, unavailable: Errors) -> Response:
    match error:
        case RequestValidationError():
            return error_response(400, "Validation error", "validation_error", field_errors(error))
        case HTTPException():
            code = CODES.get(error.status_code, "refused")
            return error_response(error.status_code, str(error.detail), code, None, error.headers)
    if isinstance(error, unavailable):
        log.warning("request.database_down", error=repr(error))
        error = Unavailable("the database does not answer")
    if not isinstance(error, ServiceError):
        log.error("request.failed", exc_info=error)
        return error_response(500, "Something went wrong on our side.", "internal_error")
    return error_response(error.status, error.message, error.code, error.details, error.headers)


class BoundedRoute(APIRoute):
    """A route that answers 413 in our shape to a larger body. FastAPI's own limit answers in plain text."""

    max_body_bytes: ClassVar[int] = 1_048_576
    """A subclass may set another limit."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The usual handler, over a request that stops at the limit."""
        handle = super().get_route_handler()

        async def handle_bounded(request: Request) -> Response:
            remaining = self.max_body_bytes

            async def receive() -> Message:
                nonlocal remaining
                message = await request.receive()
                remaining -= len(message.get("body", b""))
                if remaining < 0:
                    raise HTTPException(413, f"The body is larger than {self.max_body_bytes} bytes.")
                return message

            return await handle(_JsonRequest(request.scope, receive))

        return handle_bounded


class _JsonRequest(Request):
    """A request that gives the place of any problem of its JSON."""

    async def json(self) -> Any:
        """The parsed body. Raises JSONDecodeError."""
        body = await self.body()
        try:
            return json.loads(body, parse_int=lambda digits: int(digits[:MAX_DIGITS]))
        except UnicodeDecodeError as error:
            position = len(body[: error.start].decode(error.encoding))
            text = body.decode(error.encoding, "replace")
            raise json.JSONDecodeError(f"Invalid {error.encoding}", text, position) from error
        except RecursionError as error:
            raise json.JSONDecodeError("Nested too deeply", "", 0) from error


class SecurityHeaders:
    """Adds those of `headers` that a response does not set itself."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self._app = app
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and complete its response."""
        await self._app(scope, receive, _with_headers(send, self._headers))


def _with_headers(send: Send, headers: Mapping[str, str]) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            response_headers = MutableHeaders(scope=message)
            for name, value in headers.items():
                response_headers.setdefault(name, value)
        await send(message)

    return send_with_headers


class RequestId:
    """Keeps the caller's request id or makes one, for the logs and the header `x-request-id` of the response.

    Starlette would answer an unexpected error outside of all middleware. Handled here, that response has the id too. So
    is a request that the server cancels because it stops.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its id bound to the logs."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        sent = Headers(scope=scope).get("x-request-id", "")[:64]
        request_id = sent if sent.isascii() and sent.replace("-", "").isalnum() else str(new_id())
        send = _with_headers(send, {"x-request-id": request_id})
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send)
            except (Exception, asyncio.CancelledError) as error:
                app = scope["app"]
                if isinstance(error, asyncio.CancelledError):
                    if not app.state.stopping.is_set():
                        raise
                    error = Unavailable("the service is stopping")
                response = await app.exception_handlers[Exception](Request(scope), error)
                with contextlib.suppress(RuntimeError):  # the response has begun: the server aborts it
                    await response(scope, receive, send)
