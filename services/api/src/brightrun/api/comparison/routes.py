"""Curves of several jobs, to be drawn into one chart."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query

from brightrun.api.accounts.authentication import Reader
from brightrun.api.comparison import rules
from brightrun.api.comparison.schemas import ComparedJob, CompareQuery, Comparison, Series
from brightrun.api.http.error_responses import error_responses
from brightrun.api.http.parameters import Clients
from brightrun.api.jobs.actions import get_job
from brightrun.runtime.database import Db
from brightrun.runtime.errors import NotFound
from brightrun.runtime.http import BoundedRoute, Envelope

router = APIRouter(prefix="/metrics", tags=["jobs"], route_class=BoundedRoute)


@router.get("", summary="Curves of several jobs over one axis", responses=error_responses(NotFound))
async def compare_jobs(
    query: Annotated[CompareQuery, Query()], user: Reader, pool: Db, clients: Clients
) -> Envelope[Comparison]:
    """Each curve is downsampled to `max_points`; its extremes are kept."""
    jobs = [await get_job(pool, user.id, job_id) for job_id in query.job_ids]
    curves = await asyncio.gather(
        *(clients.tracker.list_metrics(user.id, job.id, max_points=query.max_points) for job in jobs)
    )
    series = []
    for job, points in zip(jobs, curves, strict=True):
        measure = rules.measure_of(job, query.x)
        for name in dict.fromkeys(query.names.split(",")):
            x, y = rules.series_of(points, name, measure)
            series.append(Series(job_id=job.id, name=name, x=x, y=y))
    compared = [ComparedJob(id=job.id, name=job.name, status=job.state.status) for job in jobs]
    return Envelope(data=Comparison(jobs=compared, x=query.x, series=series))
