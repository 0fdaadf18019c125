"""The application: all routes, middleware and what they need."""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from brightrun.api import notifications, queue, webhooks
from brightrun.api.accounts import openid_routes as openid
from brightrun.api.accounts import routes as accounts
from brightrun.api.accounts.identity_provider import IdentityProvider
from brightrun.api.accounts.passwords import Passwords
from brightrun.api.checkpoints import routes as checkpoints
from brightrun.api.comparison import routes as comparison
from brightrun.api.costs import routes as costs
from brightrun.api.datasets import routes as datasets
from brightrun.api.http import documents
from brightrun.api.http.clients import ServiceClients
from brightrun.api.http.error_responses import describe_errors
from brightrun.api.http.rate_limits import RateLimits
from brightrun.api.jobs import routes as jobs
from brightrun.api.jobs import stream as streams
from brightrun.api.jobs.live import Live
from brightrun.api.models import routes as models
from brightrun.api.openai import errors as openai_errors
from brightrun.api.openai.routes import files, fine_tuning, uploads
from brightrun.api.openai.routes import models as openai_models
from brightrun.api.openai.routes import webhooks as openai_webhooks
from brightrun.api.pricing import routes as pricing
from brightrun.api.settings import Limits, Settings
from brightrun.runtime.http import SecurityHeaders

ABOUT: dict[str, Any] = {
    "version": "1.0.0",
    "description": "Fine-tune LoRA adapters on your own GPUs. Sign in, then send `Authorization: Bearer <token>`.",
    "docs_url": None,
    "redoc_url": None,
    "generate_unique_id_function": lambda route: route.name,
}
ROUTERS = (
    jobs.router,
    checkpoints.router,
    datasets.uploads,
    accounts.router,
    openid.router,
    accounts.keys,
    accounts.admin,
    accounts.audit,
    datasets.router,
    pricing.router,
    queue.positions,
    streams.router,
    models.router,
    comparison.router,
    costs.router,
    notifications.router,
    webhooks.router,
    pricing.admin,
    queue.admin,
)
"""In the order in which a path is matched: the busiest first."""


OPENAI_ABOUT = ABOUT | {
    "title": "BrightRun, the OpenAI-compatible dialect",
    "description": "Set the `openai` client's `base_url` to this address and its `api_key` to one of yours (`br_…`).",
}
OPENAI_ROUTERS = (
    files.router,
    uploads.router,
    fine_tuning.router,
    openai_models.router,
    openai_webhooks.router,
    uploads.parts,
)


def mount(
    app: FastAPI,
    settings: Settings,
    clients: ServiceClients,
    identity_provider: IdentityProvider | None = None,
    *,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    passwords: Passwords | None = None,
) -> None:
    """Add the API's routes, middleware and state to the app."""
    app.state.settings = settings
    app.state.clients = clients
    app.state.identity_provider = identity_provider
    app.state.rates = RateLimits(
        reads=settings.rate_limit_reads,
        changes=settings.rate_limit_changes,
        anonymous=settings.rate_limit_anonymous,
    )
    app.state.limits = limits
    app.state.passwords = passwords or Passwords()
    app.state.live = Live(limits)
    for router in ROUTERS:
        app.include_router(router, prefix="/api")
    _mount_openai(app)
    documents.mount(app)
    describe_errors(app)
    app.add_middleware(NoRetryOnConflict)
    _add_browser_protection(app, settings.allowed_origins)
    app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=settings.trusted_proxies)


def _mount_openai(app: FastAPI) -> None:
    """Serve OpenAI's dialect below /v1; it shares the application's state."""
    dialect = FastAPI(**OPENAI_ABOUT)
    dialect.state = app.state
    openai_errors.install(dialect)
    for router in OPENAI_ROUTERS:
        dialect.include_router(router)
    describe_errors(dialect, openai_errors.error_answer)
    mounted = Mount("/v1", dialect)
    mounted.path_regex = re.compile(mounted.path_regex.pattern, re.DOTALL)  # a line break in a path is ours as well
    app.router.routes.append(mounted)


HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
EXPOSED = ("Location", "Retry-After", "X-Request-Id", "X-Should-Retry")
PREFLIGHT_SECONDS = 600


def _add_browser_protection(app: FastAPI, origins: Sequence[str]) -> None:
    """Add HEADERS to every response, and let pages of `origins` read responses; cookies are no credentials here."""
    app.add_middleware(SecurityHeaders, headers=HEADERS)
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=EXPOSED,
            max_age=PREFLIGHT_SECONDS,
        )


class NoRetryOnConflict:
    """Tells clients that retry 409 on their own, such as OpenAI's, not to, unless the response has Retry-After."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and complete its response."""

        async def send_with_header(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == HTTPStatus.CONFLICT:
                headers = MutableHeaders(scope=message)
                if "retry-after" not in headers:
                    headers["x-should-retry"] = "false"
            await send(message)

        await self._app(scope, receive, send_with_header)
