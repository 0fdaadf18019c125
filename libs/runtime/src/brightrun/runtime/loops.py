"""Work that a clock or a database notification starts: `repeat` runs it, `Wakeups` hears the notifications."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable
from functools import partial

import asyncpg
import structlog

from brightrun.runtime.database import DATABASE_DOWN

log = structlog.get_logger()

MAX_BACKOFF_SECONDS = 10.0
RECONNECT_SECONDS = 0.5
CHECK_SECONDS = 5.0


async def repeat(name: str, work: Callable[[], Awaitable[bool]], wake: asyncio.Event, every: float) -> None:
    """Run `work` at once, when woken, and at least each `every` seconds; at once again while it returns True.

    A failure is logged and retried with back-off; it never ends the loop.
    """
    failures = 0
    while True:
        wake.clear()
        try:
            more, failures = await work(), 0
        except Exception as error:
            failures += 1
            log.warning("loop.failed", loop=name, error=repr(error), exc_info=not isinstance(error, DATABASE_DOWN))
            await asyncio.sleep(min(0.2 * 2**failures, MAX_BACKOFF_SECONDS))
            continue
        if not more:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(wake.wait(), every)


class Wakeups:
    """Events set by `NOTIFY <schema>.<name>`; all of them after a reconnection, as something may have been missed."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._events: dict[str, list[asyncio.Event]] = defaultdict(list)

    def on(self, name: str) -> asyncio.Event:
        """A new event of a channel, named without the schema; ask before `listen` starts."""
        self._events[name].append(asyncio.Event())
        return self._events[name][-1]

    def wake(self, name: str, *_: object) -> None:
        """Set the channel's events."""
        for event in self._events[name]:
            event.set()

    async def listen(self) -> None:
        """Hear notifications for ever, over a connection of its own."""
        while True:
            try:
                connection = await asyncpg.connect(self._database_url)
                try:
                    await self._listen(connection)
                finally:
                    connection.terminate()
            except (*DATABASE_DOWN, asyncpg.PostgresError) as error:
                log.warning("wakeups.database_down", error=repr(error))
                await asyncio.sleep(RECONNECT_SECONDS)

    async def _listen(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        schema = await connection.fetchval("SELECT current_schema()")
        for name in self._events:
            await connection.add_listener(f"{schema}.{name}", partial(self.wake, name))
            self.wake(name)
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            await connection.execute("SELECT 1")
