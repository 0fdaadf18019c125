"""Jobs: submit, list, watch, pause, cancel, try again, clone, delete."""

import asyncio
from collections.abc import Awaitable
from math import ceil
from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import APIRouter, Query, Response

from brightrun.api import scheduler, tracker
from brightrun.api.actions import jobs as actions
from brightrun.api.errors import (
    DatasetNotFound,
    DatasetNotReady,
    EstimateChanged,
    JobDeletedSince,
    JobFinished,
    JobNotOver,
    JobNotPausable,
    JobNotPaused,
    KeyInFlight,
    KeyReused,
    ModelNotFound,
    NotRetryable,
    Untrainable,
)
from brightrun.api.models import Job
from brightrun.api.queries import job_lists, jobs
from brightrun.api.routes.bounded import BoundedRoute
from brightrun.api.routes.ordering import IdempotencyKey, carry_out, claim_of
from brightrun.api.routes.parameters import Others, Reader, Trainer
from brightrun.api.routes.refusals import refuses
from brightrun.api.rules import repeats
from brightrun.api.schemas.body import Pagination
from brightrun.api.schemas.job_lists import EventsWanted, JobsWanted, MetricsWanted
from brightrun.api.schemas.jobs import CloneJob, JobDetail, JobEvents, JobPage, JobView, Metrics, SubmitJob
from brightrun.api.schemas.passed import CostRecord
from brightrun.api.schemas.scheduling import QueuePlace
from brightrun.contracts.values import utc_now
from brightrun.runtime.database import Db, Pool, transaction
from brightrun.runtime.errors import NotFound, Unavailable
from brightrun.runtime.http import Envelope

router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=BoundedRoute)

T = TypeVar("T")

UNORDERED = (
    DatasetNotFound,
    ModelNotFound,
    DatasetNotReady,
    Untrainable,
    EstimateChanged,
    KeyInFlight,
    KeyReused,
    JobDeletedSince,
)
"""What every order may be refused with."""


@router.post("", status_code=201, summary="Submit a job", responses=refuses(*UNORDERED))
async def submit_job(
    body: SubmitJob, user: Trainer, pool: Db, others: Others, key: IdempotencyKey = None
) -> Envelope[JobView]:
    """The job is recorded at the prices of this moment and waits for GPUs."""
    claim = claim_of("submit", body, key)
    return _answer(await carry_out(pool, others, user.id, body.order(), claim))


@router.get("", summary="Your jobs, newest first")
async def list_jobs(wanted: Annotated[JobsWanted, Query()], user: Reader, pool: Db) -> Envelope[JobPage]:
    """All of them, or those that every given filter admits."""
    page, limit = wanted.page, wanted.limit
    found, total = await job_lists.list_jobs(pool, user.id, wanted.filter(), limit, (page - 1) * limit)
    now = utc_now()
    return Envelope(
        data=JobPage(
            jobs=[JobView.of(job, now) for job in found],
            pagination=Pagination(page=page, limit=limit, total=total, totalPages=ceil(total / limit)),
        )
    )


@router.get("/{job_id}", summary="One job with its curve and its ledger")
async def get_job(job_id: UUID, user: Reader, pool: Db, others: Others) -> Envelope[JobDetail]:
    """Where the tracker does not answer, its parts are empty and named in `unavailable`."""
    job = await _find_job(pool, user.id, job_id)
    metrics, cost_records = await asyncio.gather(
        _unless_silent(tracker.fetch_metrics(others.tracker, user.id, job_id)),
        _unless_silent(tracker.fetch_cost_records(others.tracker, user.id, job_id)),
    )
    return Envelope(
        data=JobDetail(
            job=JobView.of(job, utc_now()),
            metrics=metrics or [],
            cost_records=[CostRecord.model_validate(record) for record in cost_records or []],
            unavailable=[name for name, part in (("metrics", metrics), ("costs", cost_records)) if part is None],
        )
    )


@router.get("/{job_id}/metrics", summary="A job's curve", response_model=Envelope[Metrics])
async def get_metrics(
    job_id: UUID, wanted: Annotated[MetricsWanted, Query()], user: Reader, pool: Db, others: Others
) -> Response:
    """The steps `from` … `to`, thinned out to `max_points`."""
    await _find_job(pool, user.id, job_id)
    steps = wanted.model_dump(by_alias=True)
    answer = await tracker.fetch_metrics_answer(others.tracker, user.id, job_id, **steps)
    return Response(answer, media_type="application/json")


@router.get("/{job_id}/events", summary="A job's history")
async def list_events(
    job_id: UUID, wanted: Annotated[EventsWanted, Query()], user: Reader, pool: Db, others: Others
) -> Envelope[JobEvents]:
    """What happened after the event with the id `after`, oldest first."""
    await _find_job(pool, user.id, job_id)
    events = await tracker.fetch_events(others.tracker, user.id, job_id, **wanted.model_dump())
    return Envelope(data=JobEvents(events=events))


@router.get("/{job_id}/queue", summary="A job's place in the queue")
async def get_queue_place(job_id: UUID, user: Reader, pool: Db, others: Others) -> Envelope[QueuePlace]:
    """And when it is expected to start; null in all fields when the job does not wait."""
    await _find_job(pool, user.id, job_id)
    return Envelope(data=await scheduler.fetch_queue_place(others.scheduler, user.id, job_id))


@router.post("/{job_id}/cancel", summary="Cancel a job", responses=refuses(JobFinished))
async def cancel_job(job_id: UUID, user: Trainer, pool: Db) -> Envelope[JobView]:
    """The job is asked to stop, once however often this is called; its status follows when it has."""
    async with transaction(pool) as conn:
        await actions.cancel_job(conn, user.id, job_id)
    return _answer(await _find_job(pool, user.id, job_id))


@router.post("/{job_id}/pause", summary="Pause a job", responses=refuses(JobNotPausable))
async def pause_job(job_id: UUID, user: Trainer, pool: Db) -> Envelope[JobView]:
    """The job is asked to save a checkpoint and to give its GPUs back; it is `paused` when it has."""
    async with transaction(pool) as conn:
        await actions.pause_job(conn, user.id, job_id)
    return _answer(await _find_job(pool, user.id, job_id))


@router.post("/{job_id}/resume", summary="Resume a paused job", responses=refuses(JobNotPaused))
async def resume_job(job_id: UUID, user: Trainer, pool: Db) -> Envelope[JobView]:
    """The job waits for GPUs again, and goes on from its last checkpoint where its cluster still has it."""
    async with transaction(pool) as conn:
        await actions.resume_job(conn, user.id, job_id)
    return _answer(await _find_job(pool, user.id, job_id))


@router.post("/{job_id}/retry", status_code=201, summary="Try a job again", responses=refuses(*UNORDERED, NotRetryable))
async def retry_job(
    job_id: UUID, user: Trainer, pool: Db, others: Others, key: IdempotencyKey = None
) -> Envelope[JobView]:
    """A new job with the order of one that has failed or was cancelled, at the prices of this moment."""
    job = await _find_job(pool, user.id, job_id)
    if job.state.status not in repeats.RETRYABLE:
        raise NotRetryable({"status": job.state.status})
    return _answer(await carry_out(pool, others, user.id, repeats.retry(job), claim_of(f"retry {job_id}", None, key)))


@router.post(
    "/{job_id}/clone", status_code=201, summary="The same job again with changes", responses=refuses(*UNORDERED)
)
async def clone_job(
    job_id: UUID, user: Trainer, pool: Db, others: Others, *, body: CloneJob | None = None, key: IdempotencyKey = None
) -> Envelope[JobView]:
    """A new job at the prices of this moment; what is given takes the place of what was submitted."""
    changes = body or CloneJob()
    order = changes.order(await _find_job(pool, user.id, job_id))
    return _answer(await carry_out(pool, others, user.id, order, claim_of(f"clone {job_id}", changes, key)))


@router.delete("/{job_id}", summary="Delete a job", responses=refuses(JobNotOver))
async def delete_job(job_id: UUID, user: Trainer, pool: Db) -> Envelope[None]:
    """One that is over, with its curve and its log. What it cost stays in the ledger, and its model stays."""
    async with transaction(pool) as conn:
        await actions.delete_job(conn, user.id, job_id)
    return Envelope(data=None)


async def _unless_silent(part: Awaitable[T]) -> T | None:
    """None where the peer service does not answer."""
    try:
        return await part
    except Unavailable:
        return None


def _answer(job: Job) -> Envelope[JobView]:
    return Envelope(data=JobView.of(job, utc_now()))


async def _find_job(pool: Pool, user_id: UUID, job_id: UUID) -> Job:
    job = await jobs.find_job(pool, user_id, job_id)
    if job is None:
        raise NotFound
    return job
