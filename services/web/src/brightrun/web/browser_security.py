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
PORTS = {"http": 80, "https": 443}


class ForeignOrigin(ServiceError, status=403, code="foreign_origin"):
    """Another site sent this request, so it was refused: open the page here and do it again."""


async def require_own_origin(request: Request) -> None:
    """Raises ForeignOrigin for a change that no page of ours sent; browsers send `Origin` with every POST."""
    if request.method in ("GET", "HEAD"):
        return
    own = _origin(f"{request.app.state.scheme}://{request.headers.get('host', '')}")
    if own is None or _origin(request.headers.get("origin", "")) != own:
        raise ForeignOrigin


def _origin(url: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and port of a URL; None if it has none."""
    try:
        parts = urlsplit(url)
        port = parts.port or PORTS.get(parts.scheme)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname else None
