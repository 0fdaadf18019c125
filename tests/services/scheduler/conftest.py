"""The scheduler on a slice of its own, its loops turned by hand or as a real process."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer

from brightrun.contracts.event import Event
from brightrun.contracts.events import CATALOGUE, JobEvent, JobQueued
from brightrun.local.engines import Postgres, TansuBroker
from brightrun.runtime.database import Pool
from brightrun.runtime.kafka import Bus, ensure_topics
from brightrun.runtime.settings import KafkaSettings
from brightrun.runtime.tokens import Neighbour
from brightrun.scheduler import loops
from brightrun.scheduler.cluster import Cluster
from tests.builders import job_cancel_requested, job_queued
from tests.conftest import SECRET, SlicePool
from tests.services import slices
from tests.services.scheduler.fakes import KEY, FakeArtifacts, FakeCluster

CALLBACK_SECRET = "the-callback-secret-of-the-tests"
CALLBACKS = "http://scheduler/callbacks"

E = TypeVar("E", bound=JobEvent)


@dataclass
class Scheduler:
    """One scheduler, each of its loops turned by hand, and the world around it."""

    pool: Pool
    bus: Bus
    kafka: KafkaSettings
    database_url: str
    cluster: FakeCluster
    artifacts: FakeArtifacts
    cluster_client: Cluster
    artifacts_client: Neighbour

    async def deliver(self, *events: Event) -> None:
        await slices.deliver("scheduler", self.pool, *events)

    async def queue(self, **changes: Any) -> JobQueued:
        """A job whose data set exists, put into the queue."""
        job = job_queued(**changes)
        self.artifacts.hold(job)
        await self.deliver(job)
        return job

    async def queue_live(self, **changes: Any) -> JobQueued:
        """A job that the cluster runs."""
        job = await self.queue(**changes)
        await self.dispatch()
        assert self.cluster.runs_of(job)
        return job

    async def request_cancel(self, job: JobQueued) -> None:
        await self.deliver(job_cancel_requested(job_id=job.job_id, user_id=job.user_id))

    async def dispatch(self) -> bool:
        return await loops.dispatch(self.pool, self.cluster_client, self.artifacts_client)

    async def watch(self) -> bool:
        return await loops.watch(self.pool, self.bus, self.cluster_client)

    async def cancel(self) -> bool:
        return await loops.cancel(self.pool, self.cluster_client)

    async def let_leases_lapse(self) -> None:
        await self.pool.execute("UPDATE attempts SET leased_until = now() - interval '1 second'")

    async def let_pauses_end(self) -> None:
        await self.pool.execute("UPDATE queue SET not_before = now()")
        await self.pool.execute("UPDATE attempts SET cancel_sent_at = now() - interval '1 hour'")

    async def said(self, event: type[E], job: JobQueued) -> list[E]:
        """What the scheduler has recorded to be published of the job."""
        rows = await self.pool.fetch(
            "SELECT value FROM outbox WHERE topic = $1 AND key = $2 ORDER BY id", event.topic, job.key
        )
        return [event.model_validate_json(row["value"]) for row in rows]

    async def heard(self, event: type[E], job: JobQueued) -> list[E]:
        """What Kafka has of the job."""
        found: list[E] = []
        address = {"bootstrap_servers": self.kafka.kafka_bootstrap, "fetch_max_wait_ms": 20}
        async with AIOKafkaConsumer(event.topic, auto_offset_reset="earliest", **address) as consumer:
            ends = await consumer.end_offsets(consumer.assignment())
            while sum(ends.values()) > len(found):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found.extend(event.model_validate_json(record.value) for record in records)
        return [one for one in found if one.job_id == job.job_id]

    @asynccontextmanager
    async def process(self, failpoint: str = "") -> AsyncIterator[asyncio.subprocess.Process]:
        """The whole service as a process that dies at `failpoint`."""
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        settings = {
            "PORT": str(port),
            "DATABASE_URL": self.database_url,
            "KAFKA_BOOTSTRAP": self.kafka.kafka_bootstrap,
            "KAFKA_IDEMPOTENCE": str(self.kafka.kafka_idempotence),
            "KAFKA_FETCH_WAIT_MS": "20",
            "KAFKA_SESSION_MS": "2000",
            "SERVICE_SECRET": SECRET,
            "CLUSTER_URL": self.cluster.url,
            "CLUSTER_KEY": KEY,
            "CALLBACK_SECRET": CALLBACK_SECRET,
            "ARTIFACTS_URL": self.artifacts.url,
        }
        environment = os.environ | {f"BRIGHTRUN_{name}": value for name, value in settings.items()}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "brightrun.scheduler.main", env=environment | {"FAILPOINT": failpoint}
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.terminate()
                await asyncio.wait_for(process.wait(), 30)


@pytest.fixture(scope="session")
def kafka_settings(tansu: TansuBroker) -> KafkaSettings:
    return KafkaSettings(kafka_bootstrap=tansu.bootstrap, kafka_idempotence=tansu.idempotence, kafka_fetch_wait_ms=20)


@pytest_asyncio.fixture(scope="session")
async def bus(kafka_settings: KafkaSettings) -> AsyncIterator[Bus]:
    await ensure_topics(kafka_settings, CATALOGUE)
    bus = Bus(kafka_settings, "tests")
    await bus.start()
    yield bus
    await bus.stop()


@pytest_asyncio.fixture(scope="session")
async def served_fakes() -> AsyncIterator[tuple[FakeCluster, FakeArtifacts]]:
    cluster, artifacts = FakeCluster(), FakeArtifacts()
    async with slices.serve(cluster.app) as cluster.url, slices.serve(artifacts.app) as artifacts.url:
        yield cluster, artifacts


@pytest_asyncio.fixture
async def scheduler(
    slice_pool: SlicePool,
    postgres: Postgres,
    bus: Bus,
    kafka_settings: KafkaSettings,
    served_fakes: tuple[FakeCluster, FakeArtifacts],
) -> AsyncIterator[Scheduler]:
    pool = await slice_pool("scheduler")
    for fake in served_fakes:
        fake.reset()
    cluster = Cluster("local", served_fakes[0].url, KEY, CALLBACKS)
    artifacts = Neighbour("artifacts", served_fakes[1].url, SECRET, "scheduler")
    yield Scheduler(pool, bus, kafka_settings, postgres.url("scheduler"), *served_fakes, cluster, artifacts)
    await cluster.close()
    await artifacts.close()
