"""What operators decide about clusters."""

from brightrun.runtime.database import Connection
from brightrun.runtime.errors import NotFound
from brightrun.runtime.notify import notify
from brightrun.scheduler.clusters import queries


async def set_drained(conn: Connection, name: str, drained: bool) -> None:
    """Send a cluster no new jobs, or jobs again; its runs go on. Raises NotFound."""
    if not await queries.set_drained(conn, name, drained):
        raise NotFound
    await notify(conn, "clusters")
