"""The tracker on a slice of its own, asked as the api asks it."""

from collections.abc import Callable
from functools import partial
from uuid import UUID

import httpx
import pytest
import pytest_asyncio

from brightrun.runtime.database import Pool
from brightrun.tracker import routes
from tests.conftest import SlicePool
from tests.services import slices

deliver = partial(slices.deliver, "tracker")


@pytest_asyncio.fixture
async def pool(slice_pool: SlicePool) -> Pool:
    return await slice_pool("tracker")


@pytest.fixture
def ask(pool: Pool) -> Callable[[UUID], httpx.AsyncClient]:
    """`ask(user_id)` is an HTTP client that speaks for the user."""
    return slices.client_factory("tracker", routes.router, pool)
