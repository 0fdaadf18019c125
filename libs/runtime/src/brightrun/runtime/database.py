"""PostgreSQL: the pool, transactions, and the migrations of a slice."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import asyncpg
from asyncpg.pool import PoolConnectionProxy
from fastapi import Depends, Request
from pydantic_core import from_json, to_json

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Connection = asyncpg.Connection | PoolConnectionProxy
    Pool = asyncpg.Pool

RUNTIME_MIGRATIONS = Path(__file__).parent / "migrations"

DATABASE_DOWN = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresIOError,
    asyncpg.InterfaceError,
    ConnectionError,
    TimeoutError,
)
"""Errors while the server is away, or its disk is full; never the fault of the message that is being handled."""

SERVER_SETTINGS = {"idle_in_transaction_session_timeout": "15000"}
"""Milliseconds; a process that is frozen inside a transaction must not keep its locks."""


class MigrationError(RuntimeError):
    """The slice's migrations could not be applied."""


async def create_pool(url: str, size: int) -> Pool:
    """Open a pool whose connections read and write `jsonb` as Python values."""
    options: dict[str, Any] = {"init": _set_codecs, "reset": _skip_reset, "max_cached_statement_lifetime": 0}
    return await asyncpg.create_pool(
        url, min_size=1, max_size=size, server_settings=SERVER_SETTINGS, command_timeout=30, **options
    )


async def _set_codecs(connection: Any) -> None:
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=_to_json, decoder=from_json)


def _to_json(value: Any) -> str:
    """Pydantic models are values of `jsonb` too."""
    return to_json(value).decode()


async def _skip_reset(_: Any) -> None:
    """Connections keep no session state, so that there is nothing to reset."""


async def _pool(request: Request) -> Pool:
    return cast("Pool", request.app.state.pool)


Db = Annotated[Pool, Depends(_pool)]
"""A route's parameter: the pool. The route opens the transaction itself and commits before it answers."""


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    """One connection inside one transaction: commits when the block ends, rolls back when it raises."""
    async with pool.acquire() as connection, connection.transaction():
        yield connection


async def migrate(url: str, migrations: Path) -> None:
    """Apply the migrations of the chassis and of the service that the slice lacks. Many may call it at once."""
    folders = (RUNTIME_MIGRATIONS, migrations)
    if await _is_current(url, folders):
        return
    # dbmate's driver insists on TLS unless told otherwise; an `sslmode` in the URL is stronger than this.
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("dbmate")),
        *(f"--migrations-dir={folder}" for folder in folders),
        "--no-dump-schema", "--migration-lock", "migrate",
        env={"PGSSLMODE": "disable", **os.environ, "DATABASE_URL": url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise MigrationError(output.decode(errors="replace").strip())


async def _is_current(url: str, folders: Sequence[Path]) -> bool:
    """Whether dbmate, which takes longer to start, would find nothing to do."""
    versions = {file.name.partition("_")[0] for folder in folders for file in folder.glob("*.sql")}
    connection = await asyncpg.connect(url)
    try:
        applied = await connection.fetch("SELECT version FROM schema_migrations")
    except asyncpg.UndefinedTableError:
        return False
    finally:
        await connection.close()
    return versions <= {row["version"] for row in applied}
