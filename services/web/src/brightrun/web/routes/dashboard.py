"""The first page: what is going on."""

import asyncio

from fastapi import APIRouter, Request, Response

from brightrun.web import pages
from brightrun.web.api import SignedIn
from brightrun.web.routes.jobs import is_over

router = APIRouter()

NEWEST = 5


@router.get("/")
async def show_dashboard(request: Request, api: SignedIn) -> Response:
    """The newest jobs, data sets and models; what does not answer just now is left out."""
    jobs, datasets, models = await asyncio.gather(
        api.get("/api/jobs", limit=NEWEST),
        api.find("/api/datasets", limit=NEWEST),
        api.find("/api/models", limit=NEWEST),
    )
    return await pages.show(
        request, api, "dashboard.html", jobs=jobs["jobs"],
        datasets=datasets and datasets["datasets"], models=models and models["models"],
    )  # fmt: skip


@router.get("/live")
async def refresh_jobs(api: SignedIn) -> Response:
    """The newest jobs again."""
    jobs = (await api.get("/api/jobs", limit=NEWEST))["jobs"]
    return pages.part("_jobs.html", over=all(is_over(job) for job in jobs), jobs=jobs)
