"""Jobs: submit, list, watch, pause, cancel, try again, clone, delete."""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import APIRouter, Query, Response

from brightrun.api import errors
from brightrun.api.accounts.authentication import Reader, Trainer
from brightrun.api.http.bodies import CostRecord
from brightrun.api.http.error_responses import error_responses
from brightrun.api.http.parameters import Clients, IdempotencyKey
from brightrun.api.jobs import actions, queries, rules, schemas
from brightrun.api.jobs.models import Job
from brightrun.api.jobs.submission import create_job
from brightrun.api.pricing.gpu_check import GpuCheckedRoute
from brightrun.contracts.pagination import Pagination
from brightrun.contracts.values import utc_now
from brightrun.runtime.database import Db, transaction
from brightrun.runtime.errors import Unavailable
from brightrun.runtime.http import Envelope

router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=GpuCheckedRoute)
T = TypeVar("T")
SUBMISSION_ERRORS = (
    errors.DatasetNotFound,
    errors.ModelNotFound,
    errors.DatasetNotReady,
    errors.Untrainable,
    errors.NotRunnable,
    errors.EstimateChanged,
    errors.KeyInFlight,
    errors.KeyReused,
    errors.JobDeletedSince,
)
"""What every request may be refused with."""


@router.post("", status_code=201, summary="Submit a job", responses=error_responses(*SUBMISSION_ERRORS))
async def submit_job(
    body: schemas.SubmitJob, user: Trainer, pool: Db, clients: Clients, key: IdempotencyKey = None
) -> Envelope[schemas.JobView]:
    """The job is recorded at the current prices and waits for GPUs."""
    claim = rules.claim_of("submit", body, key, utc_now())
    return _envelope(await create_job(pool, clients, user.id, body.job_request(), claim))


@router.get("", summary="Your jobs, newest first")
async def list_jobs(query: Annotated[schemas.JobsQuery, Query()], user: Reader, pool: Db) -> Envelope[schemas.JobPage]:
    """All, or those that match every filter."""
    page, limit = query.page, query.limit
    found, total = await queries.list_jobs(pool, user.id, dict(query), limit, (page - 1) * limit)
    now = utc_now()
    return Envelope(
        data=schemas.JobPage(
            jobs=[schemas.JobView.of(job, now) for job in found],
            pagination=Pagination.of(page, limit, total),
        )
    )


@router.get("/{job_id}", summary="One job with its curve and its ledger")
async def get_job(job_id: UUID, user: Reader, pool: Db, clients: Clients) -> Envelope[schemas.JobDetail]:
    """If the tracker does not answer, its parts are empty and listed in `unavailable`."""
    job = await actions.get_job(pool, user.id, job_id)
    metrics, cost_records = await asyncio.gather(
        _unless_unavailable(clients.tracker.list_metrics(user.id, job_id)),
        _unless_unavailable(clients.tracker.list_cost_records(user.id, job_id)),
    )
    return Envelope(
        data=schemas.JobDetail(
            job=schemas.JobView.of(job, utc_now()),
            metrics=metrics or [],
            cost_records=[CostRecord.model_validate(record) for record in cost_records or []],
            unavailable=[name for name, part in (("metrics", metrics), ("costs", cost_records)) if part is None],
        )
    )


@router.get("/{job_id}/metrics", summary="A job's curve", response_model=Envelope[schemas.Metrics])
async def get_metrics(
    job_id: UUID, query: Annotated[schemas.MetricsQuery, Query()], user: Reader, pool: Db, clients: Clients
) -> Response:
    """The steps `from` … `to`, downsampled to `max_points`."""
    await actions.get_job(pool, user.id, job_id)
    steps = query.model_dump(by_alias=True)
    answer = await clients.tracker.read_metrics(user.id, job_id, **steps)
    return Response(answer, media_type="application/json")


@router.get("/{job_id}/events", summary="A job's history")
async def list_events(
    job_id: UUID, query: Annotated[schemas.EventsQuery, Query()], user: Reader, pool: Db, clients: Clients
) -> Envelope[schemas.JobEvents]:
    """The events after the one with the id `after`, oldest first."""
    await actions.get_job(pool, user.id, job_id)
    events = await clients.tracker.list_events(user.id, job_id, **query.model_dump())
    return Envelope(data=schemas.JobEvents(events=events))


@router.post("/{job_id}/cancel", summary="Cancel a job", responses=error_responses(errors.JobFinished))
async def cancel_job(job_id: UUID, user: Trainer, pool: Db) -> Envelope[schemas.JobView]:
    """Requests a stop, once; the status changes when the job has stopped."""
    async with transaction(pool) as conn:
        job = await actions.cancel_job(conn, user.id, job_id)
    return _envelope(job)


@router.post("/{job_id}/pause", summary="Pause a job", responses=error_responses(errors.JobNotPausable))
async def pause_job(job_id: UUID, user: Trainer, pool: Db) -> Envelope[schemas.JobView]:
    """Requests a checkpoint and the release of the GPUs; the job is `paused` afterwards."""
    async with transaction(pool) as conn:
        job = await actions.pause_job(conn, user.id, job_id)
    return _envelope(job)


@router.post("/{job_id}/finish", summary="Finish a job early", responses=error_responses(errors.JobNotFinishable))
async def finish_job(job_id: UUID, user: Trainer, pool: Db) -> Envelope[schemas.JobView]:
    """Requests the end of the training now; the job evaluates and delivers what it has, and is `completed`."""
    async with transaction(pool) as conn:
        job = await actions.finish_job(conn, user.id, job_id)
    return _envelope(job)


@router.post("/{job_id}/resume", summary="Resume a paused job", responses=error_responses(errors.JobNotPaused))
async def resume_job(job_id: UUID, user: Trainer, pool: Db) -> Envelope[schemas.JobView]:
    """The job waits for GPUs again, and resumes from its last checkpoint if its cluster still has it."""
    async with transaction(pool) as conn:
        job = await actions.resume_job(conn, user.id, job_id)
    return _envelope(job)


@router.post(
    "/{job_id}/retry",
    status_code=201,
    summary="Try a job again",
    responses=error_responses(*SUBMISSION_ERRORS, errors.NotRetryable, errors.NoCheckpoint),
)
async def retry_job(
    job_id: UUID,
    user: Trainer,
    pool: Db,
    clients: Clients,
    *,
    body: schemas.RetryJob | None = None,
    key: IdempotencyKey = None,
) -> Envelope[schemas.JobView]:
    """A new job with the request of one that has failed or was cancelled, at the prices of this moment."""
    job = await actions.get_job(pool, user.id, job_id)
    if job.state.status not in rules.RETRYABLE:
        raise errors.NotRetryable({"status": job.state.status})
    from_checkpoint = body is not None and body.from_checkpoint
    if from_checkpoint and not rules.is_resumable(job, utc_now()):
        raise errors.NoCheckpoint
    request = replace(rules.request_of(job), retry_of=job.id, from_checkpoint=from_checkpoint)
    claim = rules.claim_of(f"retry {job_id}", body, key, utc_now())
    return _envelope(await create_job(pool, clients, user.id, request, claim))


@router.post(
    "/{job_id}/clone",
    status_code=201,
    summary="The same job again with changes",
    responses=error_responses(*SUBMISSION_ERRORS),
)
async def clone_job(
    job_id: UUID,
    user: Trainer,
    pool: Db,
    clients: Clients,
    *,
    body: schemas.CloneJob | None = None,
    key: IdempotencyKey = None,
) -> Envelope[schemas.JobView]:
    """A new job at the current prices, with the request of this one and the given changes."""
    changes = body or schemas.CloneJob()
    request = changes.job_request(await actions.get_job(pool, user.id, job_id))
    return _envelope(
        await create_job(pool, clients, user.id, request, rules.claim_of(f"clone {job_id}", changes, key, utc_now()))
    )


@router.delete("/{job_id}", summary="Delete a job", responses=error_responses(errors.JobNotOver))
async def delete_job(job_id: UUID, user: Trainer, pool: Db) -> Envelope[None]:
    """A job that has ended, with its curve and its log. Its cost records and its model stay."""
    async with transaction(pool) as conn:
        await actions.delete_job(conn, user.id, job_id)
    return Envelope(data=None)


async def _unless_unavailable(part: Awaitable[T]) -> T | None:
    """None if the peer service does not answer."""
    try:
        return await part
    except Unavailable:
        return None


def _envelope(job: Job) -> Envelope[schemas.JobView]:
    return Envelope(data=schemas.JobView.of(job, utc_now()))
