"""A service under test: subscriptions without Kafka, routes without a port, and apps served on a port."""

import asyncio
import importlib
import pkgutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from typing import Any
from uuid import UUID

import httpx
import uvicorn
from fastapi import APIRouter
from starlette.types import ASGIApp

from brightrun.contracts.event import Event
from brightrun.runtime.database import Pool, transaction
from brightrun.runtime.http import create_app
from brightrun.runtime.kafka import Subscription
from brightrun.runtime.tokens import issue
from tests.conftest import SECRET
from tests.waiting import eventually


@cache
def subscriptions_of(service: str) -> dict[type[Event], Subscription]:
    """The service's subscriptions by event, in all its folders."""
    package = importlib.import_module(f"brightrun.{service}")
    names = [module.name for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    modules = [importlib.import_module(name) for name in names if name.endswith(".subscribers")]
    values = [value for module in modules for value in vars(module).values()]
    values += [value for module in modules for value in getattr(module, "SUBSCRIPTIONS", [])]
    return {value.event: value for value in values if isinstance(value, Subscription)}


async def deliver(service: str, pool: Pool, *events: Event) -> None:
    """Handle each event in a transaction, without the inbox, which would skip a redelivery."""
    for event in events:
        async with transaction(pool) as conn:
            await subscriptions_of(service)[type(event)].handle([event], conn)


def client_factory(service: str, router: APIRouter, pool: Pool, **state: Any) -> Callable[[UUID], httpx.AsyncClient]:
    """Creates HTTP clients of the service, each for one user, with the token that the api service would send."""
    app = create_app(service, SECRET)
    app.state.pool = pool
    for name, value in state.items():
        setattr(app.state, name, value)
    app.include_router(router)

    def as_user(user_id: UUID) -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {issue(SECRET, 'api', service, user_id)}"}
        return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"http://{service}", headers=headers)

    return as_user


@asynccontextmanager
async def serve(app: ASGIApp, host: str = "127.0.0.1") -> AsyncIterator[str]:
    """Serve `app` on a free port; yields its URL."""
    server = uvicorn.Server(uvicorn.Config(app, host, port=0, log_config=None, lifespan="off"))
    task = asyncio.create_task(server.serve())

    async def started() -> bool:
        return server.started

    await eventually(started)
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    finally:
        server.should_exit = True
        await task
