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
from aiokafka import ConsumerRecord
from fastapi import FastAPI

from brightrun.contracts.event import Event
from brightrun.local.engines import Postgres
from brightrun.runtime import outbox
from brightrun.runtime.database import Pool, transaction
from brightrun.runtime.kafka import DEAD_SUFFIX, KafkaClient, Subscription, ensure_topics
from brightrun.runtime.service import Service
from brightrun.runtime.settings import SliceSettings
from tests.conftest import SECRET, AnyBroker, SlicePool
from tests.kafka import read_topic
from tests.wire.ping import CREATE_RECEIVED, Ping, ping_on, topic_of

MIN_KAFKA_SESSION_MS = 6000
"""Kafka's `group.min.session.timeout.ms`."""
SHORT_EMBEDDED_SESSION_MS = 2000


@dataclass
class Wire:
    """A slice, a broker, and an event on a topic of its own."""

    settings: SliceSettings
    pool: Pool
    ping: type[Ping]

    @asynccontextmanager
    async def consuming(self, *subscriptions: Subscription[Any]) -> AsyncIterator[Service]:
        """The service at work in this process, with these subscriptions."""
        service = Service("notifier", self.settings, [topic_of(self.ping)], self.pool, FastAPI())
        service.subscribe(*subscriptions)
        async with service.working():
            yield service

    async def publish(self, *events: Event) -> None:
        """Add the events to the outbox."""
        async with transaction(self.pool) as conn:
            await outbox.add(conn, *events)

    async def send_bytes(self, *values: bytes) -> None:
        """Send raw bytes to the topic."""
        await ensure_topics(self.settings, [topic_of(self.ping)])
        async with self.client() as bus:
            for value in values:
                await bus.send(self.ping.topic, "anybody", value)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[KafkaClient]:
        bus = KafkaClient(self.settings, "tests")
        await bus.start()
        try:
            yield bus
        finally:
            await bus.stop()

    async def records(self, suffix: str = "") -> list[ConsumerRecord[Any, Any]]:
        """Every record of the topic, or of its dead-letter topic."""
        return await read_topic(self.settings.kafka_bootstrap, self.ping.topic + suffix)

    async def dead_letters(self) -> list[ConsumerRecord[Any, Any]]:
        return await self.records(DEAD_SUFFIX)

    async def process(self, failpoint: str = "", output: str = os.devnull) -> asyncio.subprocess.Process:
        """The service as a process that dies at `failpoint`, and logs to `output`."""
        environment = self._environment() | {"FAILPOINT": failpoint, "PING_TOPIC": self.ping.topic}
        command = [sys.executable, "-m", "tests.wire.ping"]
        with Path(output).open("wb") as file:  # noqa: ASYNC230 - it does not block
            return await asyncio.create_subprocess_exec(*command, env=environment, stdout=file, stderr=file)

    async def command(self, name: str) -> str:
        """The output of `brightrun-dead-letters` for the topic."""
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
    await pool.execute(CREATE_RECEIVED)
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
