"""A service with a slice as a process: HTTP server, consumers, outbox relay and loops, and their shutdown."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import structlog
from aiokafka.errors import KafkaError
from fastapi import FastAPI, Response
from prometheus_client import Gauge
from pydantic import BaseModel

from brightrun.contracts.event import Topic
from brightrun.runtime import inbox, logs, outbox
from brightrun.runtime.consumer import Consumer
from brightrun.runtime.database import DATABASE_DOWN, Pool, create_pool, migrate
from brightrun.runtime.http import Envelope, create_app
from brightrun.runtime.kafka import KafkaClient, Subscription, ensure_topics
from brightrun.runtime.locks import Leadership
from brightrun.runtime.loops import MAX_TURN_SECONDS, Loop, stop
from brightrun.runtime.notify import Listener
from brightrun.runtime.server import STOP_SECONDS, serve_http
from brightrun.runtime.settings import SliceSettings

log = structlog.get_logger()

STALLED_AFTER_SECONDS = 60.0
CHECK_SECONDS = 5.0
PING_SECONDS = 2.0

LAG = Gauge("brightrun_consumer_lag", "Records of a topic that this consumer group has not read.", ["topic"])


EXPECTED = (*DATABASE_DOWN, KafkaError, outbox.SendError)
"""Failures of loops that say all without a traceback."""


class Readiness(BaseModel):
    """Whether database and broker answer, whether every loop turns, and how long ago each did."""

    database: bool
    kafka: bool
    loops: bool
    seconds_since_turn: dict[str, float]


class Service:
    """What `main.py` composes: routers go to `app`, handlers to `subscribe`, loops to `every`; then `run`."""

    def __init__(self, name: str, settings: SliceSettings, topics: Sequence[Topic], pool: Pool, app: FastAPI) -> None:
        self.name = name
        self.settings = settings
        self.pool = pool
        self.app = app
        self.kafka = KafkaClient(settings, name)
        self._topics = topics
        self.consumers: list[Consumer] = []
        self._listener = Listener(settings.database_url.get_secret_value())
        self._relay_leadership = Leadership(settings.database_url.get_secret_value(), "outbox")
        self._loops: list[Loop] = []
        relay = outbox.Relay(self._relay_leadership, self.kafka)
        self.every("outbox.relay", outbox.SAFETY_POLL_SECONDS, relay.work, wake="outbox")
        self.every("inbox.prune", 3600.0, lambda: inbox.prune(pool))
        self.every("consumers.check", CHECK_SECONDS, self._check_consumers)
        self.every("notifications.listen", 0.0, self._listener.listen, max_turn_seconds=None)
        app.add_api_route("/ready", self._ready, include_in_schema=False)

    def subscribe(self, *subscriptions: Subscription[Any]) -> None:
        """Consume the subscriptions' topics while the service runs."""
        for subscription in subscriptions:
            consumer = Consumer(self.kafka, self.pool, subscription)
            self.consumers.append(consumer)
            self.every(f"consume.{consumer.topic}", 0.0, consumer.run, max_turn_seconds=None)

    def every(
        self,
        name: str,
        seconds: float,
        work: Callable[[], Awaitable[bool]],
        wake: str | None = None,
        max_turn_seconds: float | None = MAX_TURN_SECONDS,
    ) -> None:
        """Run `work` each `seconds`, and on `NOTIFY <schema>.<wake>`; at once again while it returns True.

        The service is not ready while a turn takes more than `max_turn_seconds`; None allows turns of any length.
        """
        event = self._listener.subscribe(wake) if wake else None
        self._loops.append(Loop(name, work, seconds, wake=event, expected=EXPECTED, max_turn_seconds=max_turn_seconds))

    def waker(self, name: str) -> Callable[[], None]:
        """Wakes this process's loops of that channel, without the database."""
        return lambda: self._listener.wake(name)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Consumers, relay and loops, without the HTTP server."""
        await ensure_topics(self.settings, self._topics)
        await self.kafka.start()
        try:
            for loop in self._loops:
                loop.start()
            yield
        finally:
            await asyncio.gather(*(consumer.drain() for consumer in self.consumers))
            await stop(self._loops)
            await self._relay_leadership.release()
            await self.kafka.stop()

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT; then finish requests and messages in progress and stop."""
        async with self.working():
            log.info("service.started", port=self.settings.port)
            await serve_http(self.app, self.settings)
        log.info("service.stopped")

    async def _ready(self, response: Response) -> Envelope[Readiness]:
        """503 until both the database and the broker answer, and while a loop is stalled."""
        readiness = Readiness(
            database=await _answers(self.pool.fetchval("SELECT true")),
            kafka=await _answers(self.kafka.ping()),
            loops=not any(loop.is_stalled for loop in self._loops),
            seconds_since_turn={loop.name: round(loop.seconds_since_turn, 1) for loop in self._loops},
        )
        if not (is_ready := readiness.database and readiness.kafka and readiness.loops):
            response.status_code = 503
        return Envelope(success=is_ready, data=readiness)

    async def _check_consumers(self) -> bool:
        """End the process when fetching has stopped though no handler is busy: aiokafka may stall after a restart."""
        for topic, lag in (await self.kafka.lag()).items():
            LAG.labels(topic).set(lag)
        oldest, busy = self.kafka.oldest_fetch_ms(), any(consumer.busy_since for consumer in self.consumers)
        if oldest and not busy and time.time() - oldest / 1000 > STALLED_AFTER_SECONDS:
            log.critical("consumer.stalled", seconds=STALLED_AFTER_SECONDS)
            os._exit(70)
        return False


async def _answers(ping: Awaitable[Any]) -> bool:
    with contextlib.suppress(Exception):
        await asyncio.wait_for(ping, PING_SECONDS)
        return True
    return False


@asynccontextmanager
async def open_service(
    name: str, settings: SliceSettings, migrations: Path, topics: Sequence[Topic], **app_options: Any
) -> AsyncIterator[Service]:
    """Migrate the slice, open its pool, and yield a `Service` to be composed and run."""
    logs.configure(name, settings.log_level)
    url = settings.database_url.get_secret_value()
    await migrate(url, migrations)
    pool = await create_pool(url, settings.database_pool_size)
    try:
        app = create_app(name, settings.service_secret.get_secret_value(), DATABASE_DOWN, **app_options)
        app.state.pool = pool
        yield Service(name, settings, topics, pool, app)
    finally:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(pool.close(), STOP_SECONDS)
