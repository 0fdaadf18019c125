"""Read and delete data sets. A deletion is decided in this slice first, so that no job starts with the data set."""

from uuid import UUID

from brightrun.api.datasets import queries
from brightrun.api.datasets.models import Dataset
from brightrun.api.deletions import queries as deletions
from brightrun.api.deletions.actions import execute_or_defer
from brightrun.api.errors import DatasetInUse, DatasetNotFound
from brightrun.api.http.clients import ServiceClients, find
from brightrun.runtime.clients import ServiceClient
from brightrun.runtime.database import Connection, Pool, transaction

MAX_LISTED_JOBS = 10
"""In an error."""


async def delete_dataset(pool: Pool, clients: ServiceClients, user_id: UUID, dataset_id: UUID) -> None:
    """Delete the user's data set, soon if the artifacts service does not answer. Raises DatasetInUse."""
    if await fetch_dataset(clients.artifacts, user_id, dataset_id) is None:
        raise DatasetNotFound
    async with transaction(pool) as conn:
        await decide_deletion(conn, user_id, dataset_id)
    await execute_or_defer(pool, clients, "dataset", user_id, dataset_id)


async def decide_deletion(conn: Connection, user_id: UUID, dataset_id: UUID) -> None:
    """Let no further job use the data set. Raises DatasetInUse while a job uses it."""
    await deletions.lock_object(conn, dataset_id)
    if jobs := await queries.list_live_jobs(conn, user_id, dataset_id, MAX_LISTED_JOBS):
        raise DatasetInUse({"jobs": [str(job_id) for job_id in jobs]})
    await deletions.insert_deletion(conn, "dataset", user_id, dataset_id)
    await queries.delete_dataset(conn, user_id, dataset_id)


async def fetch_dataset(artifacts: ServiceClient, user_id: UUID, dataset_id: UUID) -> Dataset | None:
    """The user's data set from the artifacts service; None if there is none."""
    found = await find(artifacts, user_id, f"/datasets/{dataset_id}")
    if found is None:
        return None
    return Dataset(
        id=dataset_id,
        name=found["name"],
        format=found["format"],
        status=found["status"],
        training_pairs=found["total_training_pairs"] or 0,
        tokens=found["total_tokens"] or 0,
        sha256=found["training_sha256"],
    )
