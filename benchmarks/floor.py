"""The least that our road needs: a commit that notifies, one produced record, one fetch, in one process."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from benchmarks.ledger import Commits, Ledger, commits_on
from brightrun.local.engines import TansuBroker
from brightrun.local.platform import EMBEDDED_KAFKA, Platform

NAME = "floor"
APACHE_FETCH_WAIT_MS = 500


@dataclass(frozen=True)
class Floor:
    """One connection that writes, one that listens and produces, one consumer."""

    connection: "asyncpg.Connection[asyncpg.Record]"
    ledger: Ledger
    commits: Commits

    async def submit(self) -> str:
        """Insert a row, with a notification, in one transaction."""
        key = uuid4().hex
        async with self.connection.transaction():
            await self.connection.execute("INSERT INTO floor VALUES ($1)", key)
            await self.connection.execute("SELECT pg_notify($1, $2)", NAME, key)
        return key

    async def submit_at_once(self, jobs: int) -> Sequence[str]:
        """As many, one after the other: it has no such thing."""
        return [await self.submit() for _ in range(jobs)]

    async def settle(self) -> None:
        """Nothing is left to do once a record has arrived."""


@asynccontextmanager
async def floor(platform: Platform) -> AsyncIterator[Floor]:
    """Ready to be measured on the platform's PostgreSQL and Kafka."""
    url, ledger = platform.postgres.url("api"), Ledger()
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE floor (key text PRIMARY KEY)")
    async with commits_on(NAME, url) as commits, _relay(url, platform), _reading(platform, ledger):
        yield Floor(connection, ledger, commits)
    await connection.close()


@asynccontextmanager
async def _relay(url: str, platform: Platform) -> AsyncIterator[None]:
    """Produce each notification's payload."""
    heard: asyncio.Queue[str] = asyncio.Queue()
    listener = await asyncpg.connect(url)
    await listener.add_listener(NAME, lambda _connection, _pid, _channel, payload: heard.put_nowait(payload))
    broker = platform.broker
    async with AIOKafkaProducer(
        bootstrap_servers=broker.bootstrap, acks="all", enable_idempotence=broker.idempotence
    ) as producer:

        async def relay() -> None:
            while True:
                await producer.send_and_wait(NAME, (await heard.get()).encode())

        task = asyncio.create_task(relay())
        yield
        task.cancel()
    await listener.close()


@asynccontextmanager
async def _reading(platform: Platform, ledger: Ledger) -> AsyncIterator[None]:
    """Fetch as our services do, from a topic of one partition, without a group."""
    embedded = isinstance(platform.broker, TansuBroker)
    wait_ms = int(EMBEDDED_KAFKA["KAFKA_FETCH_WAIT_MS"]) if embedded else APACHE_FETCH_WAIT_MS
    bootstrap = platform.broker.bootstrap
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(NAME, num_partitions=1, replication_factor=1)])
    await admin.close()
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, fetch_max_wait_ms=wait_ms, auto_offset_reset="earliest")
    async with consumer:
        consumer.assign([TopicPartition(NAME, 0)])

        async def read() -> None:
            async for record in consumer:
                ledger.record(record.value.decode(), time.monotonic())

        task = asyncio.create_task(read())
        yield
        task.cancel()
