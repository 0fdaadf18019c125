"""The public HTTP API."""

from typing import Any

from fastapi import FastAPI
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from brightrun.api import browser
from brightrun.api.clients import Clients
from brightrun.api.conflicts import Conflicts
from brightrun.api.live import Live
from brightrun.api.rates import Rates
from brightrun.api.routes import (
    accounts,
    costs,
    datasets,
    documents,
    estimates,
    generation,
    jobs,
    keys,
    models,
    notifications,
    oidc,
    openai,
    options,
    prices,
    refusals,
    scheduling,
    streams,
    users,
    webhooks,
)
from brightrun.api.settings import Settings

ABOUT: dict[str, Any] = {
    "version": "1.0.0",
    "description": "Fine-tune LoRA adapters on your own GPUs. Sign in, then send `Authorization: Bearer <token>`.",
    "docs_url": None,
    "redoc_url": None,
    "generate_unique_id_function": lambda route: route.name,
}


def mount(app: FastAPI, settings: Settings, clients: Clients) -> None:
    """Give the app the API's routes and what they need."""
    app.state.settings = settings
    app.state.clients = clients
    app.state.rates = Rates(
        reads=settings.rate_limit_reads,
        changes=settings.rate_limit_changes,
        anonymous=settings.rate_limit_anonymous,
    )
    app.state.live = Live()
    app.include_router(datasets.uploads, prefix="/api")
    for module in (
        accounts,
        oidc,
        keys,
        users,
        datasets,
        options,
        estimates,
        jobs,
        streams,
        models,
        generation,
        costs,
        notifications,
        webhooks,
        prices,
        scheduling,
    ):
        app.include_router(module.router, prefix="/api")
    openai.mount(app)
    documents.mount(app)
    refusals.describe(app)
    app.add_middleware(Conflicts)
    browser.guard(app, settings.allowed_origins)
    app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=settings.trusted_proxies)
