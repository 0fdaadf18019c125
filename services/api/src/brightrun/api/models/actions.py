"""Data sets and models are deleted when no job needs them: decided here, done by the artifacts service."""

from uuid import UUID

from brightrun.api.http.clients import find
from brightrun.api.models import queries
from brightrun.api.models.errors import ModelInUse
from brightrun.api.models.models import StartingModel
from brightrun.contracts.events import ArtifactFile, adapter_files
from brightrun.contracts.training import TrainingSpec
from brightrun.runtime.clients import ServiceClient
from brightrun.runtime.database import Pool

JOBS_NAMED = 10


async def check_unused(pool: Pool, user_id: UUID, model_id: UUID) -> None:
    """Refuse to delete a model that a job is about to start from.

    A job that is submitted at the same moment fails, and says why.
    """
    if jobs := await queries.list_jobs_from(pool, user_id, model_id, JOBS_NAMED):
        raise ModelInUse({"jobs": [str(job_id) for job_id in jobs]})


async def fetch_model(artifacts: ServiceClient, user_id: UUID, model_id: UUID) -> StartingModel | None:
    """The user's model, to start from; None if there is none."""
    told = await find(artifacts, user_id, f"/models/{model_id}")
    if told is None:
        return None
    return StartingModel(
        id=model_id,
        job_id=UUID(told["job_id"]),
        name=told["name"],
        status=told["status"],
        spec=TrainingSpec.model_validate(told["configuration"]["hyperparameters"]).resolved(),
        files=adapter_files(ArtifactFile.model_validate(file) for file in told["files"]),
    )
