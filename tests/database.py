"""The slices of the services under test: each migrated once a session, and as migrated again before each test."""

from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import asyncpg

from brightrun.local.engines import Postgres
from brightrun.runtime.database import Pool, create_pool, migrate
from tests.waiting import eventually

POOL_SIZE = 5
LOCK_TIMEOUT = "15s"
"""How long a reset waits for a lock that an earlier test still holds."""

END_OPEN_TRANSACTIONS = """
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = $1 AND xact_start IS NOT NULL
"""
BLOCKERS = """
    SELECT pid, application_name, state, query FROM pg_stat_activity
    WHERE usename = $1 AND pid IN (SELECT pid FROM pg_locks WHERE granted AND relation IS NOT NULL)
"""
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = $1 AND tablename <> 'schema_migrations' ORDER BY 1"
SEQUENCES = "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = $1 ORDER BY 1"


@dataclass
class Slice:
    """One service's schema, its pool, and the statements that undo a test."""

    service: str
    url: str
    pool: Pool
    tables: list[str]
    reset_sql: str


@dataclass
class Database:
    """The slices on one PostgreSQL server."""

    postgres: Postgres
    slices: dict[str, Slice] = field(default_factory=dict)
    _administrator: "asyncpg.Connection[asyncpg.Record] | None" = None

    async def write_without_fsync(self) -> None:
        """Rows survive a crash of the server all the same, though not one of the machine."""
        administrator = await self._connection()
        await administrator.execute("ALTER SYSTEM SET fsync = off")
        await administrator.execute("SELECT pg_reload_conf()")

    async def open_slice(self, service: str) -> Pool:
        """The pool of a slice that has the rows of its migrations and no others."""
        if service not in self.slices:
            self.slices[service] = await self._migrate(service)
        part = self.slices[service]
        await self._reset(part)
        if part.pool.is_closing():
            part.pool = await create_pool(part.url, POOL_SIZE)
        return part.pool

    async def check_idle(self, service: str) -> None:
        """Fail, and start anew, where the test that has ended still uses the pool."""
        part = self.slices[service]
        try:
            await eventually(lambda: _is_idle(part.pool), within=15)
        except AssertionError:
            part.pool.terminate()
            raise AssertionError(f"this test leaves connections of the pool of {service} in use") from None

    async def close(self) -> None:
        """Close every connection."""
        for part in self.slices.values():
            part.pool.terminate()
        if self._administrator is not None:
            self._administrator.terminate()

    async def _migrate(self, service: str) -> Slice:
        url = self.postgres.url(service)
        await migrate(url, migrations_of(service))
        administrator = await self._connection()
        tables = [row["tablename"] for row in await administrator.fetch(TABLES, service)]
        statements = [f"DELETE FROM {service}.{table};" for table in tables]  # noqa: S608
        for table in tables:
            if await administrator.fetchval(f"SELECT EXISTS (SELECT FROM {service}.{table})"):  # noqa: S608
                await administrator.execute(
                    f"CREATE SCHEMA IF NOT EXISTS migrated;"
                    f"CREATE TABLE migrated.{service}_{table} AS TABLE {service}.{table}"
                )
                statements.append(
                    f"INSERT INTO {service}.{table} OVERRIDING SYSTEM VALUE TABLE migrated.{service}_{table};"
                )
        for row in await administrator.fetch(SEQUENCES, service):
            value = row["last_value"]
            statements.append(f"SELECT setval('{service}.{row['sequencename']}', {value or 1}, {value is not None});")
        return Slice(service, url, await create_pool(url, POOL_SIZE), tables, "\n".join(statements))

    async def _reset(self, part: Slice) -> None:
        administrator = await self._connection()
        # Processes that were killed, and tasks that were left: what they have not committed must not come later.
        await administrator.fetch(END_OPEN_TRANSACTIONS, part.service)
        try:
            tables = [row["tablename"] for row in await administrator.fetch(TABLES, part.service)]
            added = [f"DROP TABLE {part.service}.{table} CASCADE;" for table in tables if table not in part.tables]
            await administrator.execute("\n".join([*added, part.reset_sql]))
        except asyncpg.LockNotAvailableError:
            blockers = [dict(row) for row in await administrator.fetch(BLOCKERS, part.service)]
            raise AssertionError(f"an earlier test still holds locks on {part.service}: {blockers}") from None

    async def _connection(self) -> "asyncpg.Connection[asyncpg.Record]":
        """The superuser's, for whom neither triggers nor foreign keys count."""
        if self._administrator is None or self._administrator.is_closed():
            password = self.postgres.installation.secret("postgres.superuser")
            self._administrator = await asyncpg.connect(
                f"postgresql://postgres:{password}@127.0.0.1:{self.postgres.port}/brightrun",
                server_settings={"session_replication_role": "replica", "lock_timeout": LOCK_TIMEOUT},
            )
        return self._administrator


async def _is_idle(pool: Pool) -> bool:
    return pool.is_closing() or pool.get_size() == pool.get_idle_size()


def migrations_of(service: str) -> Path:
    """The folder of a service's SQL."""
    package = find_spec(f"brightrun.{service}")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "migrations"
