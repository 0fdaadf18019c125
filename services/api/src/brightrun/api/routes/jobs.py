"""Jobs: estimate, submit, watch, cancel."""

import asyncio
from collections.abc import Awaitable
from math import ceil
from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import APIRouter, Query

from brightrun.api import artifacts, tracker
from brightrun.api.actions import jobs as actions
from brightrun.api.errors import DatasetNotFound
from brightrun.api.models import Dataset, Job
from brightrun.api.neighbours import Neighbours
from brightrun.api.queries import datasets, jobs
from brightrun.api.routes.bounded import BoundedRoute
from brightrun.api.routes.parameters import Limit, Others, Page, Reader, Trainer
from brightrun.api.schemas.body import Pagination
from brightrun.api.schemas.jobs import (
    Estimate,
    EstimateJob,
    JobDetail,
    JobEvents,
    JobPage,
    JobView,
    Metrics,
    SubmitJob,
)
from brightrun.api.schemas.neighbours import CostRecord
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.values import utc_now
from brightrun.runtime.database import Pool, transaction
from brightrun.runtime.errors import NotFound, Unavailable
from brightrun.runtime.http import Answer, Db

router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=BoundedRoute)

T = TypeVar("T")

Step = Annotated[int, Query(ge=0, le=2**53)]


@router.post("/estimate", summary="What a training will cost and take")
async def estimate_job(body: EstimateJob, user: Reader, pool: Db, others: Others) -> Answer[Estimate]:
    """USD and hours; nothing is recorded."""
    dataset = await _find_dataset(pool, others, user.id, body.dataset_id)
    async with transaction(pool) as conn:
        quote = await actions.estimate(conn, body, dataset)
    return Answer(data=Estimate.of(quote, dataset))


@router.post("", status_code=201, summary="Submit a job")
async def submit_job(body: SubmitJob, user: Trainer, pool: Db, others: Others) -> Answer[JobView]:
    """The job is recorded at the prices of this moment and waits for GPUs."""
    dataset = await _find_dataset(pool, others, user.id, body.dataset_id)
    async with transaction(pool) as conn:
        job = await actions.submit_job(conn, user.id, body, dataset)
    return _answer(job)


@router.get("", summary="Your jobs, newest first")
async def list_jobs(
    user: Reader, pool: Db, page: Page = 1, limit: Limit = 10, status: JobStatus | None = None
) -> Answer[JobPage]:
    """All of them, or those of one status."""
    found = await jobs.list_jobs(pool, user.id, status, limit, (page - 1) * limit)
    total = await jobs.count_jobs(pool, user.id, status)
    now = utc_now()
    return Answer(
        data=JobPage(
            jobs=[JobView.of(job, now) for job in found],
            pagination=Pagination(page=page, limit=limit, total=total, totalPages=ceil(total / limit)),
        )
    )


@router.get("/{job_id}", summary="One job with its curve and its ledger")
async def get_job(job_id: UUID, user: Reader, pool: Db, others: Others) -> Answer[JobDetail]:
    """Where the tracker does not answer, its parts are empty and named in `unavailable`."""
    job = await _find_job(pool, user.id, job_id)
    metrics, cost_records = await asyncio.gather(
        _unless_silent(tracker.fetch_metrics(others.tracker, user.id, job_id)),
        _unless_silent(tracker.fetch_cost_records(others.tracker, user.id, job_id)),
    )
    return Answer(
        data=JobDetail(
            job=JobView.of(job, utc_now()),
            metrics=metrics or [],
            cost_records=[CostRecord.model_validate(record) for record in cost_records or []],
            unavailable=[name for name, part in (("metrics", metrics), ("costs", cost_records)) if part is None],
        )
    )


@router.get("/{job_id}/metrics", summary="A job's curve")
async def get_metrics(
    job_id: UUID,
    user: Reader,
    pool: Db,
    others: Others,
    *,
    first: Annotated[Step | None, Query(alias="from")] = None,
    last: Annotated[Step | None, Query(alias="to")] = None,
    max_points: Annotated[int, Query(ge=10, le=10_000)] = 1000,
) -> Answer[Metrics]:
    """The steps `from` … `to`, thinned out to `max_points`."""
    await _find_job(pool, user.id, job_id)
    wanted = {"from": first, "to": last, "max_points": max_points}
    return Answer(data=Metrics(points=await tracker.fetch_metrics(others.tracker, user.id, job_id, **wanted)))


@router.get("/{job_id}/events", summary="A job's history")
async def list_events(
    job_id: UUID, user: Reader, pool: Db, others: Others, *, after: Step = 0, limit: Limit = 100
) -> Answer[JobEvents]:
    """What happened after the event with the id `after`, oldest first."""
    await _find_job(pool, user.id, job_id)
    events = await tracker.fetch_events(others.tracker, user.id, job_id, after=after, limit=limit)
    return Answer(data=JobEvents(events=events))


@router.post("/{job_id}/cancel", summary="Cancel a job")
async def cancel_job(job_id: UUID, user: Trainer, pool: Db) -> Answer[JobView]:
    """The job is asked to stop, once however often this is called; its status follows when it has."""
    async with transaction(pool) as conn:
        await actions.cancel_job(conn, user.id, job_id)
    return _answer(await _find_job(pool, user.id, job_id))


async def _unless_silent(part: Awaitable[T]) -> T | None:
    """None where the neighbour does not answer."""
    try:
        return await part
    except Unavailable:
        return None


def _answer(job: Job) -> Answer[JobView]:
    return Answer(data=JobView.of(job, utc_now()))


async def _find_job(pool: Pool, user_id: UUID, job_id: UUID) -> Job:
    job = await jobs.find_job(pool, user_id, job_id)
    if job is None:
        raise NotFound
    return job


async def _find_dataset(pool: Pool, others: Neighbours, user_id: UUID, dataset_id: UUID) -> Dataset:
    """As its validation told, or else as the artifacts service says now."""
    dataset = await datasets.find_dataset(pool, user_id, dataset_id)
    dataset = dataset or await artifacts.fetch_dataset(others.artifacts, user_id, dataset_id)
    if dataset is None:
        raise DatasetNotFound
    return dataset
