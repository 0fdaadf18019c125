"""Moments on the machine's monotonic clock, which all its processes share."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

PATIENCE_SECONDS = 60.0


class Ledger:
    """When each job arrived, first time only."""

    def __init__(self) -> None:
        self._arrivals: dict[str, asyncio.Future[float]] = defaultdict(asyncio.Future)

    def record(self, key: str, moment: float) -> None:
        """Write down an arrival; a repeated one changes nothing."""
        if not self._arrivals[key].done():
            self._arrivals[key].set_result(moment)

    async def arrival(self, key: str) -> float:
        """When the job arrived; raises `TimeoutError` when it does not."""
        return await asyncio.wait_for(self._arrivals[key], PATIENCE_SECONDS)


class Commits:
    """When commits that notify a channel happened, as a session of its own hears them."""

    def __init__(self) -> None:
        self._next: asyncio.Future[float] | None = None

    def expect(self) -> asyncio.Future[float]:
        """The moment of the next commit."""
        self._next = asyncio.get_running_loop().create_future()
        return self._next

    def hear(self, *_: object) -> None:
        """Take a notification, as a listener of asyncpg."""
        if self._next and not self._next.done():
            self._next.set_result(time.monotonic())


@asynccontextmanager
async def commits_on(channel: str, database_url: str) -> AsyncIterator[Commits]:
    """Hear the channel inside the block."""
    commits = Commits()
    connection = await asyncpg.connect(database_url)
    try:
        await connection.add_listener(channel, commits.hear)
        yield commits
    finally:
        await connection.close()
