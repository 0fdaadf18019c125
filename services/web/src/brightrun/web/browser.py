"""What browsers are told and asked, so that other sites cannot act in a visitor's name."""

from urllib.parse import urlsplit

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from brightrun.runtime.errors import ServiceError

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class ForeignOrigin(ServiceError):
    """Another site sent this request, so it was refused: open the page here and do it again."""

    status = 403
    code = "foreign_origin"


async def require_own_origin(request: Request) -> None:
    """Refuse a change that no page of ours asked for; browsers send `Origin` with every POST."""
    if request.method not in ("GET", "HEAD") and urlsplit(
        request.headers.get("origin", "")
    ).netloc != request.headers.get("host"):
        raise ForeignOrigin


class SecurityHeaders:
    """Adds `HEADERS` to every answer; pages, but not static files, are kept out of caches."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and complete its answer."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers["Cache-Control"] = "no-cache" if scope["path"].startswith("/static/") else "no-store"
            await send(message)

        await self._app(scope, receive, send_with_headers)
