"""The scheduler on a slice of its own, its loops turned by hand or as a real process."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, TypeVar

import httpx
import pytest
import pytest_asyncio

from brightrun.cluster_client.client import ClusterClient
from brightrun.cluster_client.settings import ClusterSettings
from brightrun.contracts.event import Event
from brightrun.contracts.events import CATALOGUE, JobEvent, JobQueued
from brightrun.contracts.values import new_id
from brightrun.local.engines import Postgres, TansuBroker
from brightrun.runtime.clients import ServiceClient
from brightrun.runtime.database import Pool, transaction
from brightrun.runtime.http import create_app
from brightrun.runtime.kafka import KafkaClient, ensure_topics
from brightrun.runtime.settings import KafkaSettings
from brightrun.scheduler.clusters.loops import CapacityProbe
from brightrun.scheduler.clusters.queries import add_clusters
from brightrun.scheduler.main import ROUTERS
from brightrun.scheduler.observation.loops import Poller, Watcher
from brightrun.scheduler.observation.queries import read_position
from brightrun.scheduler.reconciliation.loops import Reconciler, SilenceCheck
from brightrun.scheduler.stopping import loops as stopping
from brightrun.scheduler.stopping.loops import Stopper
from brightrun.scheduler.submission.artifacts import InputUrls
from brightrun.scheduler.submission.loops import Dispatcher, Submitter
from tests.builders import (
    job_cancel_requested,
    job_finish_requested,
    job_pause_requested,
    job_queued,
    job_resume_requested,
)
from tests.conftest import SECRET, SlicePool
from tests.kafka import read_topic
from tests.services import slices
from tests.services.scheduler.fakes import KEY, FakeArtifacts, FakeCluster
from tests.waiting import eventually

CALLBACK_SECRET = "the-callback-secret-of-the-tests"
CALLBACKS = "http://scheduler/callbacks"
MAX_ATTEMPTS = 3
MAX_SILENCE = timedelta(seconds=60)
SCHEDULER = new_id()

E = TypeVar("E", bound=JobEvent)


@dataclass
class Scheduler:
    """One scheduler, each of its loops turned by hand, and the world around it."""

    pool: Pool
    bus: KafkaClient
    kafka: KafkaSettings
    database_url: str
    clusters: dict[str, FakeCluster]
    artifacts: FakeArtifacts
    clients: dict[str, ClusterClient]
    artifacts_client: ServiceClient
    quota_gpus: int | None = None

    def __post_init__(self) -> None:
        self.dispatcher = self.another()

    @property
    def cluster(self) -> FakeCluster:
        """The cluster of tests that need no more than one."""
        return self.clusters["local"]

    def another(self, **changes: Any) -> Dispatcher:
        """A second scheduler on the same slice, as far as it submits."""
        submitter = Submitter(self.clients, InputUrls(self.artifacts_client), CALLBACKS)
        return Dispatcher(self.pool, submitter, self.quota_gpus, wake=lambda: None, **changes)

    def http(self, **settings: Any) -> httpx.AsyncClient:
        """A client of the service's routes, with these settings."""
        app = create_app("scheduler", SECRET)
        app.state.pool, app.state.settings = self.pool, SimpleNamespace(**settings)
        for router in ROUTERS:
            app.include_router(router)
        return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://scheduler")

    async def add(self, cluster: FakeCluster, runs_per_page: int = 1000, **settings: Any) -> None:
        """Let the scheduler know a cluster."""
        known = ClusterSettings(name=cluster.name, url=cluster.url, key=KEY, **settings)
        self.clusters[cluster.name], self.clients[cluster.name] = cluster, ClusterClient(known, runs_per_page)
        async with transaction(self.pool) as conn:
            await add_clusters(conn, [cluster.name])

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

    async def request_finish(self, job: JobQueued) -> None:
        await self.deliver(job_finish_requested(job_id=job.job_id, user_id=job.user_id))

    async def request_pause(self, job: JobQueued, turn: int = 1) -> None:
        await self.deliver(job_pause_requested(job_id=job.job_id, user_id=job.user_id, turn=turn))

    async def request_resume(self, job: JobQueued, turn: int = 2) -> None:
        await self.deliver(job_resume_requested(job_id=job.job_id, user_id=job.user_id, turn=turn))

    async def probe(self) -> None:
        """Ask every cluster what it has."""
        for client in self.clients.values():
            await CapacityProbe(self.pool, client, wake_dispatch=lambda: None).work()

    async def dispatch(self) -> bool:
        """One decision by fresh reports, with everything it leads to; True if anything was submitted."""
        await self.probe()
        return await self.decide()

    async def decide(self) -> bool:
        """One decision by what was reported before."""
        leased = [await self.dispatcher.take_over(), await self.dispatcher.work()]
        await self.dispatcher.idle()
        return any(leased)

    async def dispatch_all(self) -> None:
        while await self.dispatch():
            pass

    def watcher(self, name: str = "local") -> Watcher:
        """Another scheduler's ear for the cluster."""
        return Watcher(self.pool, self.bus, self.clients[name], new_id(), MAX_ATTEMPTS)

    async def submit_partially(self) -> tuple[JobQueued, asyncio.Task[bool]]:
        """A job whose submission has reached the cluster, which is silent until it is `may_respond`."""
        self.cluster.may_respond.clear()
        job = await self.queue()
        submission = asyncio.create_task(self.dispatch())

        async def submitting() -> bool:
            return self.cluster.submissions(job) == [1]

        await eventually(submitting)
        return job, submission

    async def watch(self, name: str = "local") -> bool:
        """Read the cluster's next page, unless another scheduler leads; True if there was one."""
        before = await read_position(self.pool, name)
        await Watcher(self.pool, self.bus, self.clients[name], SCHEDULER, MAX_ATTEMPTS).work()
        return await read_position(self.pool, name) != before

    async def stop_runs(self, name: str = "local") -> None:
        """Send the stop signals that are due."""
        await Stopper(self.pool, self.clients[name], MAX_ATTEMPTS).work()

    async def poll(self, name: str = "local") -> None:
        """All runs that are due are asked about."""
        while await Poller(self.pool, self.clients[name], MAX_SILENCE, MAX_ATTEMPTS).work():
            pass

    async def poll_now(self, name: str = "local") -> None:
        """All runs are asked about."""
        await self.pool.execute("UPDATE attempts SET poll_at = now()")
        await self.poll(name)

    async def stop_limited(self) -> bool:
        """Runs whose time has come are to finish; True if there were any."""
        return await stopping.stop_limited_runs(self.pool)

    async def give_up_unacknowledged(self) -> None:
        await stopping.give_up_unacknowledged(self.pool, MAX_ATTEMPTS)

    def reconciler(self, name: str = "local", **changes: Any) -> Reconciler:
        """One that remembers nothing yet."""
        return Reconciler(self.pool, self.clients[name], SCHEDULER, MAX_ATTEMPTS, **{"stop_unknown": True} | changes)

    async def reconcile(self, name: str = "local") -> None:
        await self.reconciler(name).work()

    async def give_up_silent(self) -> None:
        await SilenceCheck(self.pool, MAX_SILENCE, MAX_ATTEMPTS).work()

    async def pass_time(self, **seconds: float) -> None:
        """Put all that is remembered of attempts, jobs and clusters into the past."""
        past = timedelta(**seconds)
        await self.pool.execute(
            """
            UPDATE attempts SET accepted_at = accepted_at - $1::interval, stop_sent_at = stop_sent_at - $1::interval,
                stop_at = stop_at - $1::interval, stop_decided_at = stop_decided_at - $1::interval
            """,
            past,
        )
        await self.pool.execute("UPDATE queue SET cancel_requested_at = cancel_requested_at - $1::interval", past)
        await self.pool.execute(
            "UPDATE clusters SET silent_since = silent_since - $1::interval, answered_at = answered_at - $1::interval",
            past,
        )
        await self.pool.execute("UPDATE leaders SET until = until - $1::interval", past)

    async def expire_leases(self) -> None:
        await self.pool.execute("UPDATE attempts SET leased_until = now() - interval '1 second'")
        await self.pool.execute("UPDATE leaders SET until = now() - interval '1 second'")

    async def end_pauses(self) -> None:
        await self.pool.execute("UPDATE queue SET not_before = now()")
        await self.pool.execute("UPDATE attempts SET stop_sent_at = now() - interval '1 hour'")
        await self.pool.execute("UPDATE clusters SET full_until = NULL")

    async def recorded(self, event: type[E], job: JobQueued) -> list[E]:
        """What the scheduler has recorded to be published of the job."""
        rows = await self.pool.fetch(
            "SELECT value FROM outbox WHERE topic = $1 AND key = $2 ORDER BY id", event.topic, job.key
        )
        return [event.model_validate_json(row["value"]) for row in rows]

    async def published(self, event: type[E], job: JobQueued) -> list[E]:
        """What Kafka has of the job."""
        records = await read_topic(self.kafka.kafka_bootstrap, event.topic)
        events = [event.model_validate_json(record.value) for record in records]
        return [event for event in events if event.job_id == job.job_id]

    @asynccontextmanager
    async def process(self, failpoint: str = "", **changes: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """The whole service as a process that dies at `failpoint`; `changes` of its settings."""
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
            **changes,
        }
        environment = os.environ | {f"BRIGHTRUN_{name}": value for name, value in settings.items()}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "brightrun.scheduler.main", env=environment | {"FAILPOINT": failpoint}
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
                await asyncio.wait_for(process.wait(), 120)


@pytest.fixture(scope="session")
def kafka_settings(tansu: TansuBroker) -> KafkaSettings:
    return KafkaSettings(kafka_bootstrap=tansu.bootstrap, kafka_idempotence=tansu.idempotence, kafka_fetch_wait_ms=20)


@pytest_asyncio.fixture(scope="session")
async def bus(kafka_settings: KafkaSettings) -> AsyncIterator[KafkaClient]:
    await ensure_topics(kafka_settings, CATALOGUE)
    bus = KafkaClient(kafka_settings, "tests")
    await bus.start()
    yield bus
    await bus.stop()


Fakes = tuple[FakeCluster, FakeCluster, FakeArtifacts]


@pytest_asyncio.fixture(scope="session")
async def served_fakes() -> AsyncIterator[Fakes]:
    local, other, artifacts = FakeCluster("local"), FakeCluster("other"), FakeArtifacts()
    async with (
        slices.serve(local.app) as local.url,
        slices.serve(other.app) as other.url,
        slices.serve(artifacts.app) as artifacts.url,
    ):
        yield local, other, artifacts


@pytest_asyncio.fixture
async def scheduler(
    slice_pool: SlicePool,
    postgres: Postgres,
    bus: KafkaClient,
    kafka_settings: KafkaSettings,
    served_fakes: Fakes,
) -> AsyncIterator[Scheduler]:
    """With one cluster; the other is `add_other`'s."""
    pool = await slice_pool("scheduler")
    for fake in served_fakes:
        fake.reset()
    artifacts = ServiceClient("artifacts", served_fakes[2].url, SECRET, "scheduler")
    scheduler = Scheduler(pool, bus, kafka_settings, postgres.url("scheduler"), {}, served_fakes[2], {}, artifacts)
    await scheduler.add(served_fakes[0])
    yield scheduler
    for client in scheduler.clients.values():
        await client.close()
    await artifacts.close()


@pytest_asyncio.fixture
async def other(scheduler: Scheduler, served_fakes: Fakes) -> FakeCluster:
    """A second cluster, with GPUs of another type."""
    served_fakes[1].gpus = {"H100": (4, 4)}
    await scheduler.add(served_fakes[1])
    return served_fakes[1]
