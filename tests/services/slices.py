"""A service under test: readers without Kafka, routes without a port, peer services on ports of their own."""

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
def subscriptions_of(service: str) -> dict[str, Subscription]:
    """The service's readers by their names, whichever subject's folder they are in."""
    package = importlib.import_module(f"brightrun.{service}")
    names = [module.name for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    modules = [importlib.import_module(name) for name in names if name.endswith(".subscribers")]
    return {
        name: value for module in modules for name, value in vars(module).items() if isinstance(value, Subscription)
    }


async def deliver(service: str, pool: Pool, *events: Event) -> None:
    """Hand each event to its reader in a transaction, without the inbox that would stop a redelivery."""
    readers = {reader.event: reader for reader in subscriptions_of(service).values()}
    for event in events:
        async with transaction(pool) as conn:
            await readers[type(event)].handle([event], conn)


def asking(service: str, router: APIRouter, pool: Pool, **state: Any) -> Callable[[UUID], httpx.AsyncClient]:
    """`ask(user_id)` is an HTTP client of the service that speaks for the user, as the api does."""
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
    """Serve `app` on a port of its own and lend its URL."""
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
