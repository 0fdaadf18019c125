"""How schedulers beside each other keep out of each other's way. docs/scheduling.md says which means serves what."""

from datetime import timedelta
from uuid import UUID

from brightrun.runtime.database import Connection, Pool
from brightrun.runtime.locks import lock

LEADER_LEASE = timedelta(seconds=12)
"""Longer than a cluster may take to respond, so that another scheduler leads only when the leader is gone."""


async def lock_queue(conn: Connection) -> None:
    """Queue, stop and lease jobs one transaction at a time, so that no quota is exceeded and no request is missed."""
    await lock(conn, "queue")


async def lead(pool: Pool, cluster: str, scheduler: UUID) -> bool:
    """Become or stay the one scheduler that reads the cluster's stream and compares its runs; False while another is.

    A lease and no session's lock, as a frozen scheduler must be succeeded too.
    """
    led = await pool.fetchval(
        """
        INSERT INTO leaders (cluster, scheduler, until) VALUES ($1, $2, now() + $3::interval)
        ON CONFLICT (cluster) DO UPDATE SET scheduler = excluded.scheduler, until = excluded.until
        WHERE leaders.scheduler = $2 OR leaders.until < now() RETURNING true
        """,
        cluster, scheduler, LEADER_LEASE,
    )  # fmt: skip
    return bool(led)


async def resign(pool: Pool, scheduler: UUID) -> None:
    """Leave all clusters of the scheduler to others at once."""
    await pool.execute("DELETE FROM leaders WHERE scheduler = $1", scheduler)
