"""The cluster's SQLite database, used from one thread of its own so that a slow disk never holds up the event loop."""

import asyncio
import contextlib
import fcntl
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from brightrun.cluster import actions, queries
from brightrun.cluster.errors import StartupError
from brightrun.contracts.cluster_api import RunEvents

P = ParamSpec("P")
T = TypeVar("T")
Work = Callable[Concatenate[sqlite3.Connection, P], T]


class Store:
    """Transactions one after the other, and a wake-up for readers of events."""

    def __init__(self, conn: sqlite3.Connection, thread: ThreadPoolExecutor) -> None:
        self._conn = conn
        self._thread = thread
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._released = False

    async def read(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work(connection, …)` on one snapshot."""
        return await self._loop.run_in_executor(self._thread, partial(self._transact, work, *args, **kwargs))

    async def transact(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work(connection, …)` in one transaction, durable on return, and wake the readers of events."""
        return await self._loop.run_in_executor(self._thread, partial(self._change, work, *args, **kwargs))

    async def read_events(self, after: int, wait: float) -> RunEvents:
        """What happened after the cursor; waits up to `wait` seconds for something to happen."""
        deadline = time.monotonic() + wait
        while True:
            changed = self._changed  # taken before the read: what is written in between sets it
            page = await self.read(actions.read_events, after)
            left = deadline - time.monotonic()
            if page.events or left <= 0 or self._released:
                return page
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), left)

    def release_readers(self) -> None:
        """Let every waiting reader of events go, now and from now on."""
        self._released = True
        self._wake()

    def _change(self, work: Callable[..., T], *args: object, **kwargs: object) -> T:
        result = self._transact(work, *args, **kwargs)
        self._loop.call_soon_threadsafe(self._wake)
        return result

    def _transact(self, work: Callable[..., T], *args: object, **kwargs: object) -> T:
        self._conn.execute("BEGIN IMMEDIATE")
        try:
            result = work(self._conn, *args, **kwargs)
        except BaseException:
            self._conn.execute("ROLLBACK")
            raise
        self._conn.execute("COMMIT")
        return result

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


@asynccontextmanager
async def open_store(home: Path) -> AsyncIterator[Store]:
    """Open the database in the cluster's home folder, which one process may use at a time."""
    with _locked(home), ThreadPoolExecutor(1, "store") as thread:
        loop = asyncio.get_running_loop()
        conn = await loop.run_in_executor(thread, _connect, home / "cluster.db")
        try:
            yield Store(conn, thread)
        finally:
            await loop.run_in_executor(thread, conn.close)


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[None]:
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartupError(f"another cluster service runs in {home}: stop it or use another folder") from None
        yield


def _connect(path: Path) -> sqlite3.Connection:
    conn = sqlite3.connect(path, isolation_level=None)
    conn.execute("PRAGMA journal_mode = WAL")
    conn.execute("PRAGMA synchronous = FULL")
    conn.execute("PRAGMA foreign_keys = ON")
    conn.executescript(queries.SCHEMA)
    return conn
