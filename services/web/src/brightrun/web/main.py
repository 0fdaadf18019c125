"""The pages' composition root."""

from pathlib import Path

import httpx
from fastapi import Depends, FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.middleware.sessions import SessionMiddleware

from brightrun.runtime import logs
from brightrun.runtime.http import SecurityHeaders, create_app
from brightrun.runtime.server import run, serve_http
from brightrun.web import routes
from brightrun.web.api import TIMEOUT
from brightrun.web.browser_security import HEADERS, require_own_origin
from brightrun.web.error_pages import HANDLED, show_error
from brightrun.web.settings import Settings

MAX_FORM_BYTES = 65_536


def create_pages(settings: Settings, http: httpx.AsyncClient) -> FastAPI:
    """The application over a client of the public API."""
    app = create_app(
        "web",
        metrics_token=settings.metrics_token.get_secret_value(),
        dependencies=[Depends(require_own_origin)],
        max_body_size=MAX_FORM_BYTES,
        openapi_url=None,
    )
    app.state.http = http
    app.state.scheme = "https" if settings.web_https else "http"
    secret = settings.web_secret.get_secret_value()
    app.add_middleware(SessionMiddleware, secret, "brightrun", https_only=settings.web_https)
    app.add_middleware(SecurityHeaders, headers=HEADERS)
    for error in HANDLED:
        app.add_exception_handler(error, show_error)
    routes.mount(app)
    static = StaticFiles(directory=Path(__file__).parent / "static")
    app.mount("/static", SecurityHeaders(static, {"Cache-Control": "no-cache"}))
    return app


async def start(settings: Settings) -> None:
    """Serve the pages until told to stop."""
    logs.configure("web", settings.log_level)
    async with httpx.AsyncClient(base_url=settings.api_url, timeout=TIMEOUT) as http:
        await serve_http(create_pages(settings, http), settings)


def main() -> None:
    """The process's entry point."""
    run(start(Settings()))


if __name__ == "__main__":
    main()
