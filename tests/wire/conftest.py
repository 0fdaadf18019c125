"""A service without a domain: the `notifier` role's slice, a topic of its own for each test, real Kafka."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest_asyncio
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from fastapi import FastAPI

from brightrun.contracts.event import Event
from brightrun.local.engines import Postgres
from brightrun.runtime import outbox
from brightrun.runtime.database import Pool, transaction
from brightrun.runtime.kafka import DEAD_SUFFIX, KafkaClient, Subscription, ensure_topics
from brightrun.runtime.service import Service
from brightrun.runtime.settings import SliceSettings
from tests.conftest import SECRET, AnyBroker, SlicePool
from tests.wire.ping import HEARD, Ping, ping_on, topic_of

MIN_KAFKA_SESSION_MS = 6000
"""Kafka's `group.min.session.timeout.ms`."""
SHORT_EMBEDDED_SESSION_MS = 2000


@dataclass
class Wire:
    """What a wire test holds: a slice, a broker, and an event on a topic of its own."""

    settings: SliceSettings
    pool: Pool
    ping: type[Ping]

    @asynccontextmanager
    async def reading(self, *subscriptions: Subscription[Any]) -> AsyncIterator[Service]:
        """The service, at work in this process."""
        service = Service("notifier", self.settings, [topic_of(self.ping)], self.pool, FastAPI())
        service.subscribe(*subscriptions)
        async with service.working():
            yield service

    async def say(self, *events: Event) -> None:
        """Put the events into the outbox."""
        async with transaction(self.pool) as conn:
            await outbox.add(conn, *events)

    async def send_bytes(self, *values: bytes) -> None:
        """Put raw bytes onto the topic, as anybody may."""
        await ensure_topics(self.settings, [topic_of(self.ping)])
        async with self.sending() as bus:
            for value in values:
                await bus.send(self.ping.topic, "anybody", value)

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[KafkaClient]:
        bus = KafkaClient(self.settings, "tests")
        await bus.start()
        try:
            yield bus
        finally:
            await bus.stop()

    async def records(self, suffix: str = "") -> list[ConsumerRecord[Any, Any]]:
        """Everything on the topic, or on its dead-letter topic."""
        topic = self.ping.topic + suffix
        found: list[ConsumerRecord[Any, Any]] = []
        async with AIOKafkaConsumer(
            topic, bootstrap_servers=self.settings.kafka_bootstrap, auto_offset_reset="earliest", fetch_max_wait_ms=50
        ) as consumer:
            ends = await consumer.end_offsets(consumer.assignment())
            while sum(ends.values()) > len(found):
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    found.extend(records)
        return found

    async def dead(self) -> list[ConsumerRecord[Any, Any]]:
        return await self.records(DEAD_SUFFIX)

    async def process(self, failpoint: str) -> asyncio.subprocess.Process:
        """The same service as a process of its own that dies at `failpoint`."""
        environment = self._environment() | {"FAILPOINT": failpoint, "PING_TOPIC": self.ping.topic}
        return await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.wire.ping", env=environment)

    async def command(self, name: str) -> str:
        """What `brightrun-dead-letters` prints of the test's topic."""
        process = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("brightrun-dead-letters"),
            name,
            self.ping.topic,
            env=self._environment(),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        assert process.returncode == 0
        return output.decode()

    def _environment(self) -> dict[str, str]:
        return os.environ | {
            "BRIGHTRUN_DATABASE_URL": self.settings.database_url.get_secret_value(),
            "BRIGHTRUN_KAFKA_BOOTSTRAP": self.settings.kafka_bootstrap,
            "BRIGHTRUN_KAFKA_IDEMPOTENCE": str(self.settings.kafka_idempotence),
            "BRIGHTRUN_KAFKA_FETCH_WAIT_MS": "20",
            "BRIGHTRUN_KAFKA_SESSION_MS": str(self.settings.kafka_session_ms),
            "BRIGHTRUN_SERVICE_SECRET": SECRET,
        }


@pytest_asyncio.fixture
async def wire(slice_pool: SlicePool, postgres: Postgres, broker: AnyBroker) -> Wire:
    pool = await slice_pool("notifier")
    await pool.execute(HEARD)
    settings = SliceSettings(
        port=0,
        database_url=postgres.url("notifier"),
        kafka_bootstrap=broker.bootstrap,
        kafka_idempotence=broker.idempotence,
        kafka_fetch_wait_ms=20,
        kafka_session_ms=MIN_KAFKA_SESSION_MS if broker.idempotence else SHORT_EMBEDDED_SESSION_MS,
        service_secret=SECRET,
    )
    return Wire(settings, pool, ping_on(f"ping-{uuid4().hex[:12]}"))
