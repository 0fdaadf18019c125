"""All SQL of the scheduler's slice."""

from brightrun.runtime.database import Connection, Pool


async def wake(conn: Connection | Pool, loop: str) -> None:
    """Let a loop of any scheduler look again, once this transaction commits."""
    await conn.execute("SELECT pg_notify(current_schema() || '.' || $1, '')", loop)
