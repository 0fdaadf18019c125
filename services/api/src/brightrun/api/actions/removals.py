"""Data sets are deleted when no job needs them: decided here, done by the artifacts service."""

from uuid import UUID

from brightrun.api.errors import DatasetInUse
from brightrun.api.queries import datasets, removals
from brightrun.runtime.database import Connection

JOBS_NAMED = 10


async def decide_removal(conn: Connection, user_id: UUID, dataset_id: UUID) -> None:
    """Let no job begin with the data set any more; refused while one goes on."""
    await datasets.await_dataset(conn, dataset_id)
    if jobs := await removals.list_live_jobs(conn, user_id, dataset_id, JOBS_NAMED):
        raise DatasetInUse({"jobs": [str(job_id) for job_id in jobs]})
    await removals.insert_removal(conn, user_id, dataset_id)
