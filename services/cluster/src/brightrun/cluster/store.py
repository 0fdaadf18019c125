"""The cluster's SQLite database, used from threads of its own so that a slow disk never blocks the event loop."""

import asyncio
import fcntl
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from brightrun.cluster.errors import StartupError

P = ParamSpec("P")
T = TypeVar("T")
Work = Callable[Concatenate[sqlite3.Connection, P], T]
Outcome = tuple[Any, BaseException | None]

SCHEMA = (Path(__file__).parent / "schema.sql").read_text()


@dataclass(frozen=True, slots=True)
class _Change:
    work: Callable[[sqlite3.Connection], Any]
    done: asyncio.Future[Any]


class _Session:
    """A connection and the one thread that uses it."""

    def __init__(self, path: Path) -> None:
        self._thread = ThreadPoolExecutor(1, "store")
        self._conn = sqlite3.connect(path, isolation_level=None, cached_statements=256, check_same_thread=False)
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            self._conn.execute(f"PRAGMA {pragma}")
        self._conn.executescript(SCHEMA)

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, self._conn)

    def close(self) -> None:
        self._thread.shutdown()
        self._conn.close()


class Store:
    """Commits changes one after the other, those that arrive together in one durable transaction.

    Reads have a connection and a thread of their own, so that they do not wait for changes.
    """

    def __init__(self, path: Path) -> None:
        self._writer = _Session(path)
        self._reader = _Session(path)
        self._pending: list[_Change] = []
        self._committing: asyncio.Task[None] | None = None
        self.changed = asyncio.Event()
        """Set by the next change, which puts a new event in its place."""
        self.released = False

    async def read(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work(connection, …)`, which changes nothing."""
        return await self._reader.run(lambda conn: _read(conn, lambda: work(conn, *args, **kwargs)))

    async def transact(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work(connection, …)`, all or nothing, durable on return, and wake the readers of events."""
        change = _Change(lambda conn: work(conn, *args, **kwargs), asyncio.get_running_loop().create_future())
        self._pending.append(change)
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_pending())
        return cast("T", await change.done)

    def close(self) -> None:
        """Wait for the work in progress, then close the database."""
        self._writer.close()
        self._reader.close()

    def release_readers(self) -> None:
        """Let every waiting reader go, now and from now on."""
        self.released = True
        self._wake()

    async def _commit_pending(self) -> None:
        """Whatever happens, every caller hears of it, and the next change is committed."""
        while self._pending:
            changes, self._pending = self._pending, []
            try:
                outcomes = await self._writer.run(partial(_commit, changes))
            except Exception as error:
                outcomes = [(None, error)] * len(changes)
            for change, (result, failure) in zip(changes, outcomes, strict=True):
                if change.done.done():  # its caller was cancelled
                    continue
                if failure is None:
                    change.done.set_result(result)
                else:
                    change.done.set_exception(failure)
            self._wake()
        self._committing = None

    def _wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


@contextmanager
def open_store(home: Path) -> Iterator[Store]:
    """Open the database in the cluster's home folder, which one process may use at a time. Raises StartupError."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartupError(f"another cluster service runs in {home}: stop it or use another folder") from None
        with closing(Store(home / "cluster.db")) as store:
            yield store


def _read(conn: sqlite3.Connection, work: Callable[[], T]) -> T:
    """All statements of `work` see the same state."""
    conn.execute("BEGIN")
    try:
        return work()
    finally:
        conn.execute("COMMIT")


def _commit(changes: list[_Change], conn: sqlite3.Connection) -> list[Outcome]:
    """The result or error of each change. Raises why the commit fails; none has happened then."""
    try:
        conn.execute("BEGIN IMMEDIATE")
        outcomes = [_attempt(conn, change) for change in changes]
        conn.execute("COMMIT")
    except BaseException:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        raise
    return outcomes


def _attempt(conn: sqlite3.Connection, change: _Change) -> Outcome:
    conn.execute("SAVEPOINT change")
    try:
        return change.work(conn), None
    except Exception as error:
        conn.execute("ROLLBACK TO change")
        return None, error
    finally:
        conn.execute("RELEASE change")
