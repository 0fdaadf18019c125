"""Headers and checks that keep other sites from acting in a visitor's name."""

from urllib.parse import urlsplit

from fastapi import Request

from brightrun.runtime.errors import ServiceError

HEADERS = {
    "Cache-Control": "no-store",
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
    """Raises ForeignOrigin for a change that no page of ours sent; browsers send `Origin` with every POST."""
    if request.method not in ("GET", "HEAD") and urlsplit(
        request.headers.get("origin", "")
    ).netloc != request.headers.get("host"):
        raise ForeignOrigin
