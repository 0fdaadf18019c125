"""The cluster's SQLite database, used from one thread of its own so that a slow disk never holds up the event loop."""

import asyncio
import contextlib
import fcntl
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from brightrun.cluster import actions, queries
from brightrun.cluster.errors import StartupError

P = ParamSpec("P")
T = TypeVar("T")
Work = Callable[Concatenate[sqlite3.Connection, P], T]


@dataclass(frozen=True, slots=True)
class _Job:
    work: Callable[[sqlite3.Connection], Any]
    done: asyncio.Future[Any]


class Store:
    """Changes one after the other, those that come together in one durable transaction; wakes readers of events.

    Reads have a connection and a thread of their own, so that they wait for no change.
    """

    def __init__(self, writing: "_Desk", reading: "_Desk") -> None:
        self._writing = writing
        self._reading = reading
        self._loop = asyncio.get_running_loop()
        self._waiting: list[_Job] = []
        self._draining: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self.released = False

    async def read(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work(connection, …)`, which changes nothing."""
        return await self._loop.run_in_executor(
            self._reading.thread, partial(_read, self._reading.conn, work, args, kwargs)
        )

    async def transact(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work(connection, …)`, all or nothing, durable on return, and wake the readers of events."""
        job = _Job(lambda conn: work(conn, *args, **kwargs), self._loop.create_future())
        self._waiting.append(job)
        if self._draining is None:
            self._draining = asyncio.create_task(self._drain())
        return cast("T", await job.done)

    async def read_events(self, after: int, wait: float, limit: int) -> bytes:
        """What happened after the cursor, as JSON; waits up to `wait` seconds for something to happen."""
        deadline = time.monotonic() + wait
        while True:
            changed = self._changed  # taken before the read: what is written in between sets it
            count, page = await self.read(actions.read_events, after, limit)
            left = deadline - time.monotonic()
            if count or left <= 0 or self.released:
                return page
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), left)

    async def change_within(self, seconds: float) -> None:
        """Wait until something changes, at most `seconds`."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), seconds)

    def release_readers(self) -> None:
        """Let every waiting reader go, now and from now on."""
        self.released = True
        self._wake()

    async def _drain(self) -> None:
        while self._waiting:
            jobs, self._waiting = self._waiting, []
            outcomes = await self._loop.run_in_executor(self._writing.thread, self._commit, jobs)
            for job, (result, error) in zip(jobs, outcomes, strict=True):
                if job.done.done():  # whoever asked is gone
                    continue
                if error is None:
                    job.done.set_result(result)
                else:
                    job.done.set_exception(error)
            self._wake()
        self._draining = None

    def _commit(self, jobs: list[_Job]) -> list[tuple[Any, BaseException | None]]:
        """The result or error of each; none has happened if the commit fails."""
        conn = self._writing.conn
        try:
            conn.execute("BEGIN IMMEDIATE")
            outcomes = [_attempt(conn, job) for job in jobs]
            conn.execute("COMMIT")
        except sqlite3.Error as error:
            if conn.in_transaction:
                conn.execute("ROLLBACK")
            return [(None, error)] * len(jobs)
        return outcomes

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


@asynccontextmanager
async def open_store(home: Path) -> AsyncIterator[Store]:
    """Open the database in the cluster's home folder, which one process may use at a time."""
    with _locked(home):
        async with _desk(home) as writing, _desk(home) as reading:
            yield Store(writing, reading)


@dataclass(frozen=True, slots=True)
class _Desk:
    """A connection and the one thread that uses it."""

    conn: sqlite3.Connection
    thread: ThreadPoolExecutor


@asynccontextmanager
async def _desk(home: Path) -> AsyncIterator[_Desk]:
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1, "store") as thread:
        conn = await loop.run_in_executor(thread, _connect, home / "cluster.db")
        try:
            yield _Desk(conn, thread)
        finally:
            await loop.run_in_executor(thread, conn.close)


def _read(conn: sqlite3.Connection, work: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
    """All statements of `work` see the same state."""
    conn.execute("BEGIN")
    try:
        return work(conn, *args, **kwargs)
    finally:
        conn.execute("COMMIT")


def _attempt(conn: sqlite3.Connection, job: _Job) -> tuple[Any, BaseException | None]:
    conn.execute("SAVEPOINT one")
    try:
        return job.work(conn), None
    except Exception as error:
        conn.execute("ROLLBACK TO one")
        return None, error
    finally:
        conn.execute("RELEASE one")


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
    conn = sqlite3.connect(path, isolation_level=None, cached_statements=256)
    conn.execute("PRAGMA journal_mode = WAL")
    conn.execute("PRAGMA synchronous = FULL")
    conn.execute("PRAGMA foreign_keys = ON")
    conn.executescript(queries.SCHEMA)
    return conn
