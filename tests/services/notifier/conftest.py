"""The notifier on a slice of its own, asked as the api asks it."""

import httpx
import pytest
import pytest_asyncio

from brightrun.contracts.event import Event
from brightrun.notifier import routes, subscribers
from brightrun.runtime.database import Pool, transaction
from brightrun.runtime.http import create_app
from brightrun.runtime.kafka import Subscription
from brightrun.runtime.tokens import issue
from tests.conftest import SECRET, SlicePool

READERS: dict[type[Event], Subscription[Event]] = {
    reader.event: reader for reader in vars(subscribers).values() if isinstance(reader, Subscription)
}


async def deliver(pool: Pool, *events: Event) -> None:
    """Hand each event to its reader in a transaction, without the inbox that would stop a redelivery."""
    for event in events:
        async with transaction(pool) as conn:
            await READERS[type(event)].handle([event], conn)


@pytest_asyncio.fixture
async def pool(slice_pool: SlicePool) -> Pool:
    return await slice_pool("notifier")


@pytest.fixture
def ask(pool: Pool):
    """`ask(user_id)` is an HTTP client that speaks for the user."""
    app = create_app("notifier", SECRET)
    app.state.pool = pool
    app.include_router(routes.router)

    def as_user(user_id) -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {issue(SECRET, 'api', 'notifier', user_id)}"}
        return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://notifier", headers=headers)

    return as_user
