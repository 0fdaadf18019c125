"""Read models, and check that no job uses one."""

from uuid import UUID

from brightrun.api.http.clients import find
from brightrun.api.models import queries
from brightrun.api.models.errors import ModelInUse
from brightrun.api.models.models import StartingModel
from brightrun.contracts.events import ArtifactFile, adapter_files
from brightrun.contracts.training import TrainingSpec
from brightrun.runtime.clients import ServiceClient
from brightrun.runtime.database import Pool

MAX_LISTED_JOBS = 10
"""In an error."""


async def check_unused(pool: Pool, user_id: UUID, model_id: UUID) -> None:
    """Raises ModelInUse if a job starts from the model.

    A job that is submitted at the same moment fails with an error that says so.
    """
    if jobs := await queries.list_jobs_from(pool, user_id, model_id, MAX_LISTED_JOBS):
        raise ModelInUse({"jobs": [str(job_id) for job_id in jobs]})


async def fetch_model(artifacts: ServiceClient, user_id: UUID, model_id: UUID) -> StartingModel | None:
    """The user's model from the artifacts service; None if there is none."""
    found = await find(artifacts, user_id, f"/models/{model_id}")
    if found is None:
        return None
    return StartingModel(
        id=model_id,
        job_id=UUID(found["job_id"]),
        name=found["name"],
        status=found["status"],
        spec=TrainingSpec.model_validate(found["configuration"]["hyperparameters"]).resolved(),
        files=adapter_files(ArtifactFile.model_validate(file) for file in found["files"]),
    )
