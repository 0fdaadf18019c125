"""Engines for the tests: PostgreSQL, an S3 store and Kafka-protocol brokers, each started once when asked for."""

import fcntl
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import TypeVar

import hypothesis
import pytest
import pytest_asyncio

from brightrun.local.engines import ApacheKafka, ExternalKafka, ObjectStore, Postgres, TansuBroker
from brightrun.local.installation import Installation
from brightrun.runtime.database import Pool
from tests import kafka, watchdog
from tests.database import Database

SECRET = "a-secret-of-the-tests-that-is-long-enough"
T = TypeVar("T")

TESTS = Path(__file__).parent
GROUPED = ("faults", "flows", "trainer", "wire")
"""Folders whose tests share what is slow to start: one worker runs all of a folder."""

LONGEST_FIRST = (
    "flows",
    "flows-restart",
    "trainer_finished",
    "trainer",
    "faults",
    "apache-kafka",
    "real-cluster",
    "ray",
    "wire",
)
"""Groups in the order in which workers begin them. Tests outside groups follow, the slow ones first."""


# On a busy machine an example may take any time.
hypothesis.settings.register_profile("tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("tests")


def pytest_configure() -> None:
    watchdog.watch()


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None, object, object]:
    """A wrapper, so that it groups before xdist reads the groups, and orders after pytest has."""
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        if folder in GROUPED and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(folder))
    result = yield
    items.sort(key=start_order)
    return result


def start_order(item: pytest.Item) -> int:
    """What takes longest starts first, so that no worker ends long after the others."""
    group = item.get_closest_marker("xdist_group")
    if group and group.args[0] in LONGEST_FIRST:
        return LONGEST_FIRST.index(group.args[0])
    return len(LONGEST_FIRST) + (item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def installation() -> Iterator[Installation]:
    # Not pytest's own folder: each new pytest session closes that to PostgreSQL's account.
    with TemporaryDirectory(prefix="brightrun-tests-") as home:
        yield Installation(Path(home))


@contextmanager
def one_start_at_a_time() -> Iterator[None]:
    """Other test workers start no engine meanwhile: they would pick the same ports and unpack the same programs."""
    with (Path(gettempdir()) / "brightrun-tests.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def started(engine: Callable[[], AbstractContextManager[T]]) -> Iterator[T]:
    """The engine, started while no other worker starts one."""
    with ExitStack() as stack:
        with one_start_at_a_time():
            running = stack.enter_context(engine())
        yield running


@pytest.fixture(scope="session")
def postgres(installation: Installation) -> Iterator[Postgres]:
    with started(lambda: Postgres(installation)) as engine:
        yield engine


@pytest.fixture(scope="session")
def object_store(installation: Installation) -> Iterator[ObjectStore]:
    with started(lambda: ObjectStore(installation)) as engine:
        yield engine


@pytest.fixture(scope="session")
def tansu(installation: Installation, object_store: ObjectStore) -> Iterator[TansuBroker]:
    with started(lambda: TansuBroker(installation, object_store)) as engine:
        yield engine


@pytest.fixture(scope="session")
def apache_kafka(installation: Installation) -> Iterator[ApacheKafka | ExternalKafka]:
    with started(lambda: kafka.apache_kafka(installation)) as engine:
        yield engine


BROKERS = ["tansu", *kafka.if_given("apache_kafka")]
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
