"""The OpenAPI documents of the API service's dialects."""

import asyncio
from functools import cache
from typing import Any

from fastapi import FastAPI
from starlette.routing import Mount

from brightrun.api import app as api
from brightrun.api.http.clients import open_clients
from brightrun.api.settings import Settings
from brightrun.runtime.http import create_app

SECRET = "the-service-is-never-started-with-it"


def documents(app: FastAPI) -> dict[str, dict[str, Any]]:
    """The documents of the application and of each application mounted in it, by path: `api`, `v1`."""
    mounted = {route.path.strip("/"): route.app for route in app.routes if isinstance(route, Mount)}
    return {"api": app.openapi()} | {
        name: dialect.openapi() for name, dialect in mounted.items() if isinstance(dialect, FastAPI)
    }


@cache
def served() -> dict[str, dict[str, Any]]:
    """The documents as the service returns them."""
    return documents(asyncio.run(_compose()))


async def _compose() -> FastAPI:
    settings = Settings(
        port=0,
        database_url="postgresql://unused",
        kafka_bootstrap="unused:9092",
        service_secret=SECRET,
        artifacts_url="http://unused",
        tracker_url="http://unused",
        notifier_url="http://unused",
        scheduler_url="http://unused",
    )
    app = create_app("api", SECRET, **api.ABOUT)
    async with open_clients(settings) as clients:
        api.mount(app, settings, clients)
    return app
