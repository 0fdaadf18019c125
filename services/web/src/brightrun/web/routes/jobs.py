"""Jobs: configure, watch, pause, cancel."""

import asyncio
from typing import Annotated, Any, Literal
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Form, Query, Request, Response
from pydantic import BaseModel, Field

from brightrun.runtime.errors import NotFound, ServiceError, Unavailable
from brightrun.web import pages
from brightrun.web.api import COPY_TIMEOUT, Api, SignedIn
from brightrun.web.routes.datasets import list_datasets

router = APIRouter()
MAX_LISTED_CHECKPOINTS = 20
"""How many of the newest are considered; a cluster keeps few of them."""


class JobForm(BaseModel):
    """The form of a new job; `estimated_cost` is the figure that the user was shown."""

    dataset_id: UUID
    preset_id: str = "balanced"
    gpu_type: str
    gpu_count: Annotated[int, Field(ge=1, le=8)] = 1
    name: str = ""
    estimated_cost: float | None = None

    @property
    def request(self) -> dict[str, Any]:
        """The fields that estimates and submissions share."""
        return {
            "dataset_id": str(self.dataset_id),
            "gpu_config": {"type": self.gpu_type, "count": self.gpu_count},
        }


@router.get("/jobs/new")
async def show_new_job(request: Request, api: SignedIn, dataset_id: UUID | None = None) -> Response:
    """The form, with the newest data set and the cheapest GPU chosen."""
    return await _show_form(request, api, 200, [], dataset_id=dataset_id)


@router.get("/jobs/estimate")
async def estimate_job(api: SignedIn, form: Annotated[JobForm, Query()]) -> Response:
    """The estimate of the form."""
    return pages.part("_estimate.html", over=True, estimate=await _estimate(api, form))


@router.post("/jobs/new")
async def submit_job(request: Request, api: SignedIn, form: Annotated[JobForm, Form()]) -> Response:
    """Redirect to the job's page, or show the form again with the errors and the newest estimate."""
    body = form.request | {"preset_id": form.preset_id, "estimated_cost": form.estimated_cost}
    try:
        job = await api.send("POST", "/api/jobs", body | ({"name": form.name} if form.name.strip() else {}))
    except Unavailable:
        raise
    except ServiceError as error:
        return await _show_form(request, api, error.status, pages.sentences(error), **form.model_dump())
    return pages.go(f"/training/jobs/{job['id']}")


@router.get("/training/jobs/{job_id}")
async def show_job(request: Request, api: SignedIn, job_id: UUID) -> Response:
    """One job."""
    job = (await api.get(f"/api/jobs/{job_id}"))["job"]
    position, checkpoints = await asyncio.gather(_find_queue_position(api, job), _list_available_checkpoints(api, job))
    return await pages.show(
        request, api, "job.html", job=job, over=is_over(job), queue_position=position, checkpoints=checkpoints
    )


@router.get("/training/jobs/{job_id}/live")
async def refresh_job(api: SignedIn, job_id: UUID) -> Response:
    """How it goes now, and its curve."""
    found = await api.get(f"/api/jobs/{job_id}")
    job = found["job"]
    points = [[point[name] for name in ("step", "training_loss", "validation_loss")] for point in found["metrics"]]
    more = {"status": job["status"], "points": points}
    return pages.part(
        "_job.html", over=is_over(job), more=more, job=job, queue_position=await _find_queue_position(api, job)
    )


@router.get("/training/jobs/{job_id}/checkpoints/{checkpoint_id}/files/{name}")
async def download_checkpoint_file(api: SignedIn, job_id: UUID, checkpoint_id: str, name: str) -> Response:
    """To the file, by a signed URL; the checkpoint is copied from its cluster first."""
    path = f"/api/jobs/{job_id}/checkpoints/{quote(checkpoint_id, safe='')}/download"
    links = await api.send("POST", path, {"files": [name]}, COPY_TIMEOUT)
    return pages.go(links["download_urls"][name])


@router.post("/training/jobs/{job_id}/{change}")
async def change_job(api: SignedIn, job_id: UUID, change: Literal["cancel", "finish", "pause", "resume"]) -> Response:
    """Cancel, finish, pause or resume it."""
    await api.send("POST", f"/api/jobs/{job_id}/{change}")
    return pages.go(f"/training/jobs/{job_id}")


def is_over(job: dict[str, Any]) -> bool:
    """Whether nothing more will happen to the job; a completed one still has its model stored."""
    return job["status"] in ("failed", "cancelled") or job["artifact_id"] is not None


async def _find_queue_position(api: Api, job: dict[str, Any]) -> Any | None:
    """The queued job's position; None for another job, and while it is unavailable."""
    return await api.find(f"/api/jobs/{job['id']}/queue") if job["status"] == "queued" else None


async def _list_available_checkpoints(api: Api, job: dict[str, Any]) -> list[Any]:
    """The newest checkpoints that can be downloaded; none while the list is unavailable."""
    found = await api.find(f"/api/jobs/{job['id']}/checkpoints", limit=MAX_LISTED_CHECKPOINTS)
    return [checkpoint for checkpoint in found["checkpoints"] if checkpoint["available"]] if found else []


async def _estimate(api: Api, form: JobForm) -> Any:
    """Raises `NotFound` for an unknown preset."""
    presets = (await api.get("/api/presets"))["presets"]
    spec = next((preset["hyperparameters"] for preset in presets if preset["id"] == form.preset_id), None)
    if spec is None:
        raise NotFound
    return await api.send("POST", "/api/jobs/estimate", form.request | {"hyperparameters": spec})


async def _show_form(request: Request, api: Api, status: int, problems: list[str], **chosen: Any) -> Response:
    datasets, presets, gpus = await asyncio.gather(list_datasets(api), api.get("/api/presets"), api.get("/api/gpus"))
    ready = [dataset for dataset in datasets if dataset["training_ready"]]
    runnable = [gpu for gpu in gpus["gpus"] if gpu["available"] != "never"]
    options = {"datasets": ready, "presets": presets["presets"], "gpus": runnable}
    if not ready or not options["gpus"]:
        return await pages.show(request, api, "new_job.html", status, problems=problems, choice=None, **options)
    defaults = {"dataset_id": ready[0]["id"], "gpu_type": options["gpus"][0]["type"]}
    form = JobForm(**defaults | {name: value for name, value in chosen.items() if value is not None})
    try:
        estimate = await _estimate(api, form)
    except ServiceError:
        estimate = None
    return await pages.show(
        request, api, "new_job.html", status, problems=problems, choice=form, estimate=estimate, **options
    )
