"""What operators decide: who gets how much, what goes first, which clusters are used."""

from uuid import UUID

from brightrun.runtime.database import Connection
from brightrun.runtime.errors import NotFound
from brightrun.scheduler import queries
from brightrun.scheduler.queries import clusters, queue, shares
from brightrun.scheduler.rules import fairness


async def set_share(conn: Connection, user_id: UUID, weight: float, quota: int | None) -> None:
    """Give a user a weight and a quota of GPUs; both hold from the next decision on."""
    await shares.set_share(conn, user_id, weight, quota)
    await queries.wake(conn, "queue")


async def set_priority(conn: Connection, job_id: UUID, priority: str) -> None:
    """Move a waiting job; raises NotFound."""
    if not await queue.set_urgency(conn, job_id, fairness.urgency_of(priority)):
        raise NotFound
    await queries.wake(conn, "queue")


async def set_drained(conn: Connection, name: str, drained: bool) -> None:
    """Send a cluster no new jobs, or some again; its runs go on. Raises NotFound."""
    if not await clusters.set_drained(conn, name, drained):
        raise NotFound
    await queries.wake(conn, "clusters")
