"""A cluster service for each test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.services.cluster.platform import FakePlatform
from tests.services.cluster.service import ClusterService


@pytest.fixture(scope="session")
def platform() -> Iterator[FakePlatform]:
    platform = FakePlatform()
    yield platform
    platform.close()


@pytest_asyncio.fixture
async def service(tmp_path: Path, platform: FakePlatform) -> AsyncIterator[ClusterService]:
    """A cluster service that is not started yet."""
    service = ClusterService(tmp_path, platform)
    yield service
    await service.close()
