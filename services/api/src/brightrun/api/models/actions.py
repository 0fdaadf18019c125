"""Read models, and check that no job uses one."""

from uuid import UUID

from brightrun.api.errors import ModelInUse
from brightrun.api.models import queries
from brightrun.runtime.database import Pool

MAX_LISTED_JOBS = 10
"""In an error."""


async def check_unused(pool: Pool, user_id: UUID, model_id: UUID) -> None:
    """Raises ModelInUse if a job starts from the model.

    A job that is submitted at the same moment fails with an error that says so.
    """
    if jobs := await queries.list_jobs_from(pool, user_id, model_id, MAX_LISTED_JOBS):
        raise ModelInUse({"jobs": [str(job_id) for job_id in jobs]})
