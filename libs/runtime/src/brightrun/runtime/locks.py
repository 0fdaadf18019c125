"""Advisory locks of PostgreSQL, named within the slice: `lock` for a transaction, `Leadership` for a process."""

import asyncpg

from brightrun.runtime.database import Connection

KEY = "hashtextextended(current_schema() || '.' || $1, 0)"


async def lock(conn: Connection, name: str) -> None:
    """Wait for the lock; it is released when the transaction ends."""
    await conn.execute(f"SELECT pg_advisory_xact_lock({KEY})", name)


async def lock_shared(conn: Connection, name: str) -> None:
    """Wait until no transaction holds the lock exclusively; many may hold it shared."""
    await conn.execute(f"SELECT pg_advisory_xact_lock_shared({KEY})", name)


async def try_lock(conn: Connection, name: str) -> bool:
    """Take the lock until the transaction ends; False if another holds it."""
    return bool(await conn.fetchval(f"SELECT pg_try_advisory_xact_lock({KEY})", name))


class Leadership:
    """Elects one process of a slice by a lock that belongs to a database session of its own.

    PostgreSQL releases the lock when the session ends, however the process dies.
    """

    def __init__(self, database_url: str, name: str) -> None:
        self._database_url = database_url
        self._name = name
        self._session: asyncpg.Connection[asyncpg.Record] | None = None
        self._leads = False

    async def acquire(self) -> "asyncpg.Connection[asyncpg.Record] | None":
        """The leader's session, for its statements; None while another process leads."""
        if self._session is None or self._session.is_closed():
            self._leads = False
            self._session = await asyncpg.connect(self._database_url, command_timeout=30)
        if not self._leads:
            self._leads = await self._session.fetchval(f"SELECT pg_try_advisory_lock({KEY})", self._name)
        return self._session if self._leads else None

    async def release(self) -> None:
        """Let another process lead."""
        if self._session:
            self._session.terminate()
