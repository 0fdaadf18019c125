"""`NOTIFY` and `LISTEN` of PostgreSQL. A channel is `<schema>.<name>`; only the name is written in code."""

import asyncio
from collections import defaultdict
from functools import partial

import asyncpg

from brightrun.runtime.database import Connection, Pool

KEEPALIVE_SECONDS = 5.0


async def notify(conn: Connection | Pool, channel: str) -> None:
    """Wake the loops of every process that listen to `channel`, once the transaction commits."""
    await conn.execute("SELECT pg_notify(current_schema() || '.' || $1, '')", channel)


class Listener:
    """Sets events when their channel is notified, and all of them after a reconnection, which may have missed some."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._events: dict[str, list[asyncio.Event]] = defaultdict(list)

    def subscribe(self, channel: str) -> asyncio.Event:
        """A new event of a channel; to be called before `listen`."""
        self._events[channel].append(asyncio.Event())
        return self._events[channel][-1]

    def wake(self, channel: str, *_: object) -> None:
        """Set the channel's events of this process, without the database."""
        for event in self._events[channel]:
            event.set()

    async def listen(self) -> bool:
        """Listen over a connection of its own until that breaks."""
        connection = await asyncpg.connect(self._database_url)
        try:
            schema = await connection.fetchval("SELECT current_schema()")
            for channel in self._events:
                await connection.add_listener(f"{schema}.{channel}", partial(self.wake, channel))
                self.wake(channel)
            while True:
                await asyncio.sleep(KEEPALIVE_SECONDS)
                await connection.execute("SELECT 1")
        finally:
            connection.terminate()
