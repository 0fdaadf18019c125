"""The gateway as an application over its real slice, with peer services that speak the internal interface over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from itertools import count
from typing import Any
from uuid import UUID

import httpx
import pytest
import pytest_asyncio
from argon2 import PasswordHasher
from asyncpg.connection import LoggedQuery
from fastapi import FastAPI

from brightrun.api import app as api
from brightrun.api.accounts.identity_provider import open_identity_provider
from brightrun.api.accounts.passwords import Passwords
from brightrun.api.datasets import queries as datasets
from brightrun.api.http.clients import open_clients
from brightrun.api.settings import Settings
from brightrun.runtime.database import Connection, Pool, transaction
from brightrun.runtime.http import create_app
from tests.builders import dataset_validated
from tests.conftest import SECRET, SlicePool
from tests.services.api.fakes import FakeArtifacts, FakeNotifier, Fakes, FakeScheduler, FakeTracker
from tests.services.api.operations import DocumentedErrors
from tests.services.slices import serve
from tests.waiting import eventually

PASSWORD = "correct horse battery"
CHEAP = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)
"""Argon2id, but cheap: these tests sign up many users."""


class User(httpx.AsyncClient):
    """A client that is signed in."""

    def __init__(self, app: FastAPI, account: dict[str, Any]) -> None:
        super().__init__(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False),
            base_url="http://api",
            headers={"authorization": f"Bearer {account['token']}"},
        )
        self.id = UUID(account["user"]["id"])
        self.account = account


@pytest_asyncio.fixture
async def pool(slice_pool: SlicePool) -> Pool:
    return await slice_pool("api")


@pytest_asyncio.fixture(scope="session")
async def artifacts() -> AsyncIterator[FakeArtifacts]:
    fake = FakeArtifacts()
    async with serve(fake.app) as fake.url:
        yield fake


@pytest_asyncio.fixture(scope="session")
async def tracker() -> AsyncIterator[FakeTracker]:
    fake = FakeTracker()
    async with serve(fake.app) as fake.url:
        yield fake


@pytest_asyncio.fixture(scope="session")
async def notifier() -> AsyncIterator[FakeNotifier]:
    fake = FakeNotifier()
    async with serve(fake.app) as fake.url:
        yield fake


@pytest_asyncio.fixture(scope="session")
async def scheduler() -> AsyncIterator[FakeScheduler]:
    fake = FakeScheduler()
    async with serve(fake.app) as fake.url:
        yield fake


@pytest.fixture(scope="session")
def fakes(artifacts: FakeArtifacts, tracker: FakeTracker, notifier: FakeNotifier, scheduler: FakeScheduler) -> Fakes:
    return Fakes(artifacts, tracker, notifier, scheduler)


@pytest.fixture(autouse=True)
def _forget(fakes: Fakes) -> None:
    for fake in fakes:
        fake.reset()


@pytest.fixture
def settings(fakes: Fakes) -> Settings:
    return Settings(
        port=0,
        database_url="postgresql://unused",
        kafka_bootstrap="unused:9092",
        service_secret=SECRET,
        artifacts_url=fakes.artifacts.url,
        tracker_url=fakes.tracker.url,
        notifier_url=fakes.notifier.url,
        scheduler_url=fakes.scheduler.url,
    )


@pytest_asyncio.fixture
async def app(pool: Pool, settings: Settings) -> AsyncIterator[FastAPI]:
    async with gateway(pool, settings) as application:
        yield application


@asynccontextmanager
async def gateway(pool: Pool, settings: Settings) -> AsyncIterator[FastAPI]:
    async with open_clients(settings) as clients, open_identity_provider(settings) as identity_provider:
        token = settings.metrics_token.get_secret_value()
        application = create_app("api", SECRET, metrics_token=token, **api.ABOUT)
        application.state.pool = pool
        api.mount(application, settings, clients, identity_provider, passwords=Passwords(CHEAP))
        with DocumentedErrors.required_of(application):
            yield application


def limit(app: FastAPI, **limits: Any) -> None:
    """Let the gateway allow less from now on."""
    app.state.limits = app.state.live.limits = replace(app.state.limits, **limits)


def client_of(app: FastAPI, token: str = "", address: str = "127.0.0.1") -> httpx.AsyncClient:
    """A client at an address, with any kind of bearer token or none."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 5000))
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers)


@pytest_asyncio.fixture
async def anonymous(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as client:
        yield client


@pytest_asyncio.fixture
async def new_user(app: FastAPI, anonymous: httpx.AsyncClient) -> AsyncIterator[Callable[[], Awaitable[User]]]:
    users: list[User] = []
    numbers = count(1)

    async def register() -> User:
        body = {"email": f"user{next(numbers)}@example.com", "password": PASSWORD}
        answer = await anonymous.post("/api/auth/register", json=body)
        assert answer.status_code == 201, answer.text
        users.append(User(app, answer.json()["data"]))
        return users[-1]

    yield register
    for user in users:
        await user.aclose()


@pytest_asyncio.fixture
async def ada(new_user: Callable[[], Awaitable[User]]) -> User:
    return await new_user()


@pytest_asyncio.fixture
async def eve(ada: User, new_user: Callable[[], Awaitable[User]]) -> User:
    """Somebody else."""
    return await new_user()


async def validated_dataset(pool: Pool, user: User, **changes: Any) -> UUID:
    """A data set whose validation the gateway has heard of."""
    event = dataset_validated(user_id=user.id, **changes)
    async with transaction(pool) as conn:
        await datasets.save_dataset(conn, event)
    return event.dataset_id


def submission(dataset_id: UUID, **changes: Any) -> dict[str, Any]:
    return {
        "dataset_id": str(dataset_id),
        "preset_id": "fast",
        "gpu_config": {"type": "A100-80GB", "count": 1},
        "hyperparameters": {},
    } | changes


async def set_price(admin: User, path: str, **terms: Any) -> None:
    """Let the price table say something else from now on."""
    answer = await admin.put(f"/api/admin/prices/{path}", json=terms)
    assert answer.status_code == 200, answer.text


@asynccontextmanager
async def statements(pool: Pool) -> AsyncIterator[list[tuple[str, Sequence[Any]]]]:
    """Every statement that the pool sends meanwhile, with its values."""
    sent: list[tuple[str, Sequence[Any]]] = []

    def note(record: LoggedQuery) -> None:
        sent.append((record.query.strip(), record.args))

    async with AsyncExitStack() as stack:
        for _ in range(pool.get_max_size()):
            (await stack.enter_async_context(pool.acquire())).add_query_logger(note)
    sent.clear()
    yield sent
    async with AsyncExitStack() as stack:
        for _ in range(pool.get_max_size()):
            (await stack.enter_async_context(pool.acquire())).remove_query_logger(note)


async def outbox_topics(pool: Pool) -> list[str]:
    return [row["topic"] for row in await pool.fetch("SELECT topic FROM outbox ORDER BY id")]


async def in_turn(
    pool: Pool, first: Callable[[Connection], Awaitable[Any]], second: Callable[[Connection], Any]
) -> None:
    """Run both in transactions of their own, `second` while `first` is not committed: it must wait for it."""

    async def later() -> None:
        async with transaction(pool) as conn:
            await second(conn)

    async def waits_or_is_done() -> bool:
        return task.done() or bool(await pool.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"))

    async with transaction(pool) as conn:
        await first(conn)
        task = asyncio.create_task(later())
        await eventually(waits_or_is_done)
    await task
