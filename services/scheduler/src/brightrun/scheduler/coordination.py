"""How schedulers beside each other keep out of each other's way. docs/scheduling.md says which means serves what."""

from datetime import timedelta
from uuid import UUID

from brightrun.runtime.database import Connection, Pool


async def wake(conn: Connection | Pool, loop: str) -> None:
    """Wake a loop of every scheduler once this transaction commits."""
    await conn.execute("SELECT pg_notify(current_schema() || '.' || $1, '')", loop)


async def lock_queue(conn: Connection) -> None:
    """Queue, stop and lease jobs one transaction at a time, so that no quota is exceeded and no request is missed."""
    await conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '.dispatch', 0))")


async def lead(pool: Pool, task: str, scheduler: UUID, lease: timedelta) -> bool:
    """Become or stay the one scheduler that does a task; False while another is."""
    led = await pool.fetchval(
        """
        INSERT INTO leaders (task, scheduler, until) VALUES ($1, $2, now() + $3::interval)
        ON CONFLICT (task) DO UPDATE SET scheduler = excluded.scheduler, until = excluded.until
        WHERE leaders.scheduler = $2 OR leaders.until < now() RETURNING true
        """,
        task, scheduler, lease,
    )  # fmt: skip
    return bool(led)


async def resign(pool: Pool, scheduler: UUID) -> None:
    """Leave all tasks of the scheduler to others at once."""
    await pool.execute("DELETE FROM leaders WHERE scheduler = $1", scheduler)
