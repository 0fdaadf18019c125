"""How both faces delete a data set: decided in our slice first, so that no job can begin with it meanwhile."""

import contextlib
from uuid import UUID

from brightrun.api.datasets import queries
from brightrun.api.datasets.errors import DatasetInUse, DatasetNotFound
from brightrun.api.datasets.models import Dataset
from brightrun.api.http.clients import ServiceClients, find
from brightrun.runtime.clients import PeerError, ServiceClient
from brightrun.runtime.database import Connection, Pool, transaction
from brightrun.runtime.errors import NotFound, Unavailable
from brightrun.runtime.failpoints import failpoint

JOBS_NAMED = 10
"""How many jobs an error names at most."""


async def delete_dataset(pool: Pool, clients: ServiceClients, user_id: UUID, dataset_id: UUID) -> None:
    """Delete the user's data set. Where the artifacts service is silent, a loop tells it later."""
    if await fetch_dataset(clients.artifacts, user_id, dataset_id) is None:
        raise DatasetNotFound
    async with transaction(pool) as conn:
        await decide_deletion(conn, user_id, dataset_id)
    failpoint("deletion.decided")
    with contextlib.suppress(Unavailable):
        await send_deletion(clients.artifacts, user_id, dataset_id)
        async with transaction(pool) as conn:
            await queries.mark_deleted(conn, dataset_id)


async def decide_deletion(conn: Connection, user_id: UUID, dataset_id: UUID) -> None:
    """Let no job begin with the data set any more; refused while one goes on."""
    await queries.lock_dataset(conn, dataset_id)
    if jobs := await queries.list_live_jobs(conn, user_id, dataset_id, JOBS_NAMED):
        raise DatasetInUse({"jobs": [str(job_id) for job_id in jobs]})
    await queries.insert_deletion(conn, user_id, dataset_id)


async def fetch_dataset(artifacts: ServiceClient, user_id: UUID, dataset_id: UUID) -> Dataset | None:
    """The user's data set as it is now; None if there is none."""
    told = await find(artifacts, user_id, f"/datasets/{dataset_id}")
    if told is None:
        return None
    return Dataset(
        id=dataset_id,
        name=told["name"],
        format=told["format"],
        status=told["status"],
        training_pairs=told["total_training_pairs"] or 0,
        tokens=told["total_tokens"] or 0,
        sha256=told["sha256"],
    )


async def send_deletion(artifacts: ServiceClient, user_id: UUID, dataset_id: UUID) -> None:
    """Delete the user's data set, if it is there."""
    try:
        await artifacts.send("DELETE", f"/datasets/{dataset_id}", user_id)
    except PeerError as error:
        if error.status != NotFound.status:
            raise
