"""Engines for the tests: PostgreSQL, an S3 store and Kafka-protocol brokers, each started once when asked for."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
import pytest
import pytest_asyncio

from brightrun.local.engines import ApacheKafka, ExternalKafka, ObjectStore, Postgres, TansuBroker
from brightrun.local.installation import Installation
from brightrun.runtime.database import Pool, create_pool, migrate
from tests import kafka

SECRET = "a-secret-of-the-tests-that-is-long-enough"


@pytest.fixture(scope="session")
def installation() -> Iterator[Installation]:
    # Not pytest's own folder: each new pytest session closes that to PostgreSQL's account.
    with TemporaryDirectory(prefix="brightrun-tests-") as home:
        yield Installation(Path(home))


@pytest.fixture(scope="session")
def postgres(installation: Installation) -> Iterator[Postgres]:
    with Postgres(installation) as engine:
        yield engine


@pytest.fixture(scope="session")
def object_store(installation: Installation) -> Iterator[ObjectStore]:
    with ObjectStore(installation) as engine:
        yield engine


@pytest.fixture(scope="session")
def tansu(installation: Installation, object_store: ObjectStore) -> Iterator[TansuBroker]:
    with TansuBroker(installation, object_store) as engine:
        yield engine


@pytest.fixture(scope="session")
def apache_kafka(installation: Installation) -> Iterator[ApacheKafka | ExternalKafka]:
    with kafka.apache_kafka(installation) as engine:
        yield engine


BROKERS = ["tansu", "apache_kafka"] if kafka.IS_GIVEN else ["tansu"]
AnyBroker = TansuBroker | ApacheKafka | ExternalKafka


@pytest.fixture(scope="session", params=BROKERS)
def broker(request: pytest.FixtureRequest) -> AnyBroker:
    """Each broker there is: the embedded one always, Apache Kafka where it is given."""
    engine: AnyBroker = request.getfixturevalue(request.param)
    return engine


SlicePool = Callable[[str], Awaitable[Pool]]


@pytest_asyncio.fixture
async def slice_pool(postgres: Postgres) -> AsyncIterator[SlicePool]:
    """Gives the pool of a service's slice, freshly migrated."""
    async with AsyncExitStack() as stack:

        async def open_slice(service: str) -> Pool:
            await _empty(postgres, service)
            return await stack.enter_async_context(_open_slice(postgres.url(service), migrations_of(service)))

        yield open_slice


async def _empty(postgres: Postgres, service: str) -> None:
    password = postgres.installation.secret("postgres.superuser")
    connection = await asyncpg.connect(f"postgresql://postgres:{password}@127.0.0.1:{postgres.port}/brightrun")
    await connection.execute(f"DROP SCHEMA {service} CASCADE; CREATE SCHEMA {service} AUTHORIZATION {service}")
    await connection.close()


@asynccontextmanager
async def _open_slice(url: str, migrations: Path) -> AsyncIterator[Pool]:
    await migrate(url, migrations)
    pool = await create_pool(url, size=5)
    try:
        yield pool
    finally:
        await pool.close()


def migrations_of(service: str) -> Path:
    """The folder of a service's SQL."""
    package = find_spec(f"brightrun.{service}")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "migrations"
