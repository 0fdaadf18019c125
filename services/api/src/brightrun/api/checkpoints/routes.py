"""HTTP routes of checkpoints."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query

from brightrun.api import errors
from brightrun.api.accounts.authentication import Reader
from brightrun.api.checkpoints import actions
from brightrun.api.checkpoints.schemas import CheckpointDownload, Checkpoints, CheckpointView
from brightrun.api.http.error_responses import error_responses
from brightrun.api.http.parameters import AppSettings, Clients, Limit
from brightrun.api.jobs.actions import get_job
from brightrun.api.models.routes import DownloadModel
from brightrun.runtime.database import Db
from brightrun.runtime.http import BoundedRoute, Envelope

CHECKPOINT_ID = "^[0-9]{1,9}-[0-9]{1,15}$"
router = APIRouter(prefix="/jobs/{job_id}/checkpoints", tags=["jobs"], route_class=BoundedRoute)


@router.get("", summary="A job's checkpoints, newest first")
async def list_checkpoints(
    job_id: UUID,
    user: Reader,
    pool: Db,
    clients: Clients,
    *,
    after: Annotated[str | None, Query(pattern="^[0-9]{1,9}-[0-9]{1,18}$", description="the `id` of one")] = None,
    limit: Limit = 100,
) -> Envelope[Checkpoints]:
    """The newest, or those after the checkpoint `after`; each with how long it can be had."""
    job = await get_job(pool, user.id, job_id)
    found = await clients.tracker.list_checkpoints(user.id, job_id, after=after, limit=limit)
    availabilities = await actions.add_availability(pool, clients, job, found)
    views = [CheckpointView.of(*pair) for pair in zip(found, availabilities, strict=True)]
    return Envelope(data=Checkpoints(checkpoints=views))


@router.post(
    "/{checkpoint_id}/download",
    summary="Where to fetch a checkpoint's adapter",
    responses=error_responses(errors.CheckpointNotFound, *actions.COPY_ERRORS),
)
async def download_checkpoint(
    *,
    job_id: UUID,
    checkpoint_id: Annotated[str, Path(pattern=CHECKPOINT_ID, description="the `id` of a checkpoint")],
    user: Reader,
    pool: Db,
    clients: Clients,
    settings: AppSettings,
    body: DownloadModel | None = None,
) -> Envelope[CheckpointDownload]:
    """Signed URLs that expire. The checkpoint is copied from its cluster first, and the copy is kept for a while."""
    job = await get_job(pool, user.id, job_id)
    attempt, step = map(int, checkpoint_id.split("-"))
    model_id = await actions.copy_checkpoint(pool, clients, job, attempt, step, keep=settings.copy_lifetime)
    files = (body or DownloadModel()).model_dump(exclude_none=True)
    signed = await clients.artifacts.send("POST", f"/models/{model_id}/download", user.id, json=files)
    return Envelope(data=CheckpointDownload(**signed, model_id=model_id))
