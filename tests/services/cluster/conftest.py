"""A world with a cluster service for each test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.services.cluster.world import Outside, World


@pytest.fixture(scope="session")
def outside() -> Iterator[Outside]:
    outside = Outside()
    yield outside
    outside.close()


@pytest_asyncio.fixture
async def world(tmp_path: Path, outside: Outside) -> AsyncIterator[World]:
    """A world whose service is not started yet."""
    world = World(tmp_path, outside)
    yield world
    await world.close()
