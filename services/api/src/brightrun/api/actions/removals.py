"""Data sets and models are deleted when no job needs them: decided here, done by the artifacts service."""

from uuid import UUID

from brightrun.api.errors import DatasetInUse, ModelInUse
from brightrun.api.queries import datasets, removals
from brightrun.runtime.database import Connection, Pool

JOBS_NAMED = 10


async def decide_removal(conn: Connection, user_id: UUID, dataset_id: UUID) -> None:
    """Let no job begin with the data set any more; refused while one goes on."""
    await datasets.await_dataset(conn, dataset_id)
    if jobs := await removals.list_live_jobs(conn, user_id, dataset_id, JOBS_NAMED):
        raise DatasetInUse({"jobs": [str(job_id) for job_id in jobs]})
    await removals.insert_removal(conn, user_id, dataset_id)


async def check_unused(pool: Pool, user_id: UUID, model_id: UUID) -> None:
    """Refuse to delete a model that a job is about to start from.

    A job that is submitted at the same moment fails, and says why.
    """
    if jobs := await removals.list_jobs_from(pool, user_id, model_id, JOBS_NAMED):
        raise ModelInUse({"jobs": [str(job_id) for job_id in jobs]})
