"""Routes that read a body of bounded size; FastAPI's own limit answers in plain text instead of in our shape."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute
from starlette.types import Message, Receive

from brightrun.api.errors import TooLarge

MAX_BODY_BYTES = 1_048_576
"""Bytes of JSON; uploads are streamed and bounded by the artifacts service."""


class BoundedRoute(APIRoute):
    """A route that answers 413 once its body exceeds `MAX_BODY_BYTES`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The usual handler over a request that stops at the limit."""
        handle = super().get_route_handler()

        async def handle_bounded(request: Request) -> Response:
            return await handle(Request(request.scope, _bounded(request.receive)))

        return handle_bounded


def _bounded(receive: Receive) -> Receive:
    room = MAX_BODY_BYTES

    async def receive_within_bounds() -> Message:
        nonlocal room
        message = await receive()
        room -= len(message.get("body", b""))
        if room < 0:
            raise HTTPException(TooLarge.status, TooLarge().message)
        return message

    return receive_within_bounds
