"""How both faces delete a data set: decided in our slice first, so that no job can begin with it meanwhile."""

import contextlib
from uuid import UUID

from brightrun.api import artifacts
from brightrun.api.actions.removals import decide_removal
from brightrun.api.clients import Clients
from brightrun.api.errors import DatasetNotFound
from brightrun.api.queries import removals
from brightrun.runtime.database import Pool, transaction
from brightrun.runtime.errors import Unavailable
from brightrun.runtime.failpoints import failpoint


async def remove_dataset(pool: Pool, others: Clients, user_id: UUID, dataset_id: UUID) -> None:
    """Delete the user's data set. Where the artifacts service is silent, a loop tells it later."""
    if await artifacts.fetch_dataset(others.artifacts, user_id, dataset_id) is None:
        raise DatasetNotFound
    async with transaction(pool) as conn:
        await decide_removal(conn, user_id, dataset_id)
    failpoint("removal.decided")
    with contextlib.suppress(Unavailable):
        await artifacts.remove_dataset(others.artifacts, user_id, dataset_id)
        async with transaction(pool) as conn:
            await removals.mark_removed(conn, dataset_id)
