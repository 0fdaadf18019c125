"""One service as a process: its slice, its HTTP side, its readers, relay and loops, and how all of them stop."""

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import structlog
import uvicorn
import uvloop
from fastapi import FastAPI, Response
from prometheus_client import Gauge

from brightrun.contracts.event import Topic
from brightrun.runtime import inbox, logs, outbox
from brightrun.runtime.database import Pool, create_pool, migrate
from brightrun.runtime.delivery import Delivery
from brightrun.runtime.http import Envelope, create_app
from brightrun.runtime.kafka import Bus, Subscription, ensure_topics
from brightrun.runtime.loops import Wakeups, repeat
from brightrun.runtime.settings import ServiceSettings, SliceSettings

log = structlog.get_logger()

STALLED_AFTER_SECONDS = 60.0
CHECK_SECONDS = 5.0
STOP_SECONDS = 10

LAG = Gauge("brightrun_consumer_lag", "Records of a topic that wait for this reader.", ["topic"])


class Service:
    """What `main.py` composes: routers go to `app`, readers to `subscribe`, loops to `every`; then `run`."""

    def __init__(self, name: str, settings: SliceSettings, topics: Sequence[Topic], pool: Pool, app: FastAPI) -> None:
        self.name = name
        self.settings = settings
        self.pool = pool
        self.app = app
        self.bus = Bus(settings, name)
        self._topics = topics
        self._deliveries: list[Delivery] = []
        self._wakeups = Wakeups(settings.database_url.get_secret_value())
        self._background: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self._relay = outbox.Relay(settings.database_url.get_secret_value(), self.bus)
        self.every("outbox.relay", outbox.SAFETY_POLL_SECONDS, self._relay.work, wake="outbox")
        self.every("inbox.prune", 3600.0, lambda: inbox.prune(pool))
        app.add_api_route("/ready", self._ready, include_in_schema=False)

    def subscribe(self, *subscriptions: Subscription[Any], then: Callable[[], None] = lambda: None) -> None:
        """Read the subscriptions' topics while the service runs; `then` is called once an effect is committed."""
        for subscription in subscriptions:
            delivery = Delivery(self.bus, self.pool, subscription, then)
            self.bus.consume(subscription, delivery.consume)
            self._deliveries.append(delivery)

    def every(self, name: str, seconds: float, work: Callable[[], Awaitable[bool]], wake: str | None = None) -> None:
        """Run `work` each `seconds`, and on `NOTIFY <schema>.<wake>`; at once again while it returns True."""
        event = self._wakeups.on(wake) if wake else asyncio.Event()
        self._background.append(lambda: repeat(name, work, event, seconds))

    def waker(self, name: str) -> Callable[[], None]:
        """What wakes this process's loops of that name, without the way through the database."""
        return lambda: self._wakeups.wake(name)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Readers, relay and loops, without the HTTP server."""
        await ensure_topics(self.settings, self._topics)
        await self.bus.start()
        tasks = [asyncio.create_task(work()) for work in (self._wakeups.listen, self._watch_readers, *self._background)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._relay.close()
            await self.bus.stop()

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT; then finish what is in hand and stop."""
        async with self.working():
            log.info("service.started", port=self.settings.port)
            await serve_http(self.app, self.settings)
        log.info("service.stopped")

    async def _ready(self, response: Response) -> Envelope[dict[str, bool]]:
        """503 until both the database and the broker answer."""
        checks = {"database": await self._database_answers(), "kafka": await self.bus.broker.ping(timeout=2.0)}
        if not all(checks.values()):
            response.status_code = 503
        return Envelope(success=all(checks.values()), data=checks)

    async def _database_answers(self) -> bool:
        with contextlib.suppress(Exception):
            return bool(await self.pool.fetchval("SELECT true", timeout=2.0))
        return False

    async def _watch_readers(self) -> None:
        """End the process when fetching has stopped though no handler is busy: aiokafka may stall after a restart."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            for topic, waiting in (await self.bus.lag()).items():
                LAG.labels(topic).set(waiting)
            oldest, busy = self.bus.oldest_fetch_ms(), any(delivery.busy_since for delivery in self._deliveries)
            if oldest and not busy and time.time() - oldest / 1000 > STALLED_AFTER_SECONDS:
                log.critical("reader.stalled", seconds=STALLED_AFTER_SECONDS)
                os._exit(70)


@asynccontextmanager
async def open_service(
    name: str, settings: SliceSettings, migrations: Path, topics: Sequence[Topic], **app_options: Any
) -> AsyncIterator[Service]:
    """Migrate the slice, open its pool, and lend a `Service` to be composed and run."""
    logs.configure(name, settings.log_level)
    url = settings.database_url.get_secret_value()
    await migrate(url, migrations)
    pool = await create_pool(url, settings.database_pool_size)
    try:
        app = create_app(name, settings.service_secret.get_secret_value(), **app_options)
        app.state.pool = pool
        yield Service(name, settings, topics, pool, app)
    finally:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(pool.close(), STOP_SECONDS)


class _Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        cast("FastAPI", self.config.app).state.stopping.set()
        await super().shutdown(sockets)


async def serve_http(app: FastAPI, settings: ServiceSettings) -> None:
    """Serve `app` until SIGTERM or SIGINT; `app.state.stopping` tells requests that would not end by themselves."""
    config = uvicorn.Config(
        app,
        settings.host,
        settings.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=STOP_SECONDS,
        server_header=False,
        proxy_headers=False,
    )
    # uvicorn ends the process with the signal that it has heard; ours has to clean up first.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    await _Server(config).serve()


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a service's `start` coroutine as this process."""
    uvloop.run(main)
