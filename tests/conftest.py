"""Engines for the tests: PostgreSQL, an S3 store and Kafka-protocol brokers, each started once when asked for."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import pytest_asyncio

from brightrun.local.engines import ApacheKafka, ExternalKafka, ObjectStore, Postgres, TansuBroker
from brightrun.local.installation import Installation
from brightrun.runtime.database import Pool
from tests import kafka
from tests.database import Database

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


@pytest_asyncio.fixture(scope="session")
async def database(postgres: Postgres) -> AsyncIterator[Database]:
    database = Database(postgres)
    await database.write_without_fsync()
    yield database
    await database.close()


@pytest_asyncio.fixture
async def slice_pool(database: Database) -> AsyncIterator[SlicePool]:
    """Gives the pool of a service's slice, with the rows of its migrations only."""
    opened: list[str] = []

    async def open_slice(service: str) -> Pool:
        opened.append(service)
        return await database.open_slice(service)

    yield open_slice
    for service in opened:
        await database.check_idle(service)
