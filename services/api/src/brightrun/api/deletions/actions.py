"""Deletions that are decided are executed by the artifacts service."""

import contextlib
from http import HTTPStatus
from uuid import UUID

from brightrun.api.deletions import queries
from brightrun.api.deletions.queries import Kind
from brightrun.api.http.clients import ServiceClients
from brightrun.runtime.clients import PeerError
from brightrun.runtime.database import Pool, transaction
from brightrun.runtime.errors import NotFound, Unavailable
from brightrun.runtime.failpoints import failpoint


async def execute(pool: Pool, clients: ServiceClients, kind: Kind, user_id: UUID, object_id: UUID) -> None:
    """Delete the object, whose deletion is decided. Raises Unavailable, and PeerError where it cannot be deleted."""
    failpoint("deletion.decided")
    refused: PeerError | None = None
    try:
        await clients.artifacts.send("DELETE", f"/{kind}s/{object_id}", user_id)
    except PeerError as error:
        if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise  # it may be deleted later
        refused = error if error.status != NotFound.status else None
    async with transaction(pool) as conn:
        await (queries.drop_deletion if refused else queries.mark_deleted)(conn, object_id)
    if refused:
        raise refused


async def execute_or_defer(pool: Pool, clients: ServiceClients, kind: Kind, user_id: UUID, object_id: UUID) -> None:
    """The same; if the artifacts service does not answer, a loop repeats the request later."""
    with contextlib.suppress(Unavailable):
        await execute(pool, clients, kind, user_id, object_id)
