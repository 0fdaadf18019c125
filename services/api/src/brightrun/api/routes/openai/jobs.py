"""Fine-tuning jobs, as OpenAI's clients create, follow and end them."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request

from brightrun.api import tracker
from brightrun.api.actions import jobs as actions
from brightrun.api.errors import (
    DatasetNotFound,
    DatasetNotReady,
    FileNotFound,
    Invalid,
    JobDeletedSince,
    JobFinished,
    JobNotPausable,
    JobNotPaused,
    KeyInFlight,
    KeyReused,
    ModelNotFound,
    Unsupported,
    Untrainable,
)
from brightrun.api.models import Claim, Job
from brightrun.api.queries import jobs, prices
from brightrun.api.routes.bounded import BoundedRoute
from brightrun.api.routes.openai.bases import resolve_model
from brightrun.api.routes.ordering import IdempotencyKey, carry_out
from brightrun.api.routes.parameters import Configured, Others, Reader, Trainer
from brightrun.api.routes.refusals import refuses
from brightrun.api.rules import repetition
from brightrun.api.rules.openai import ids
from brightrun.api.rules.openai.filters import read_metadata
from brightrun.api.rules.openai.jobs import view, view_checkpoint, view_event
from brightrun.api.rules.openai.orders import translate
from brightrun.api.schemas.openai.jobs import Checkpoints, CreateJob, FineTuningJob, FineTuningJobEvent
from brightrun.api.schemas.openai.lists import After, ListOf
from brightrun.api.settings import Settings
from brightrun.contracts.values import utc_now
from brightrun.runtime.database import Db, Pool, transaction
from brightrun.runtime.errors import NotFound

router = APIRouter(prefix="/fine_tuning/jobs", tags=["fine-tuning"], route_class=BoundedRoute)

ENTRIES_AT_ONCE = 100
Limit = Annotated[int, Query(ge=1, le=100)]
RetryCount = Annotated[
    str, Header(alias="x-stainless-retry-count", max_length=20, description="how often the client has sent it before")
]


@router.post(
    "",
    summary="Create a fine-tuning job",
    responses=refuses(
        Unsupported, Untrainable, DatasetNotReady, ModelNotFound, FileNotFound, KeyInFlight, KeyReused, JobDeletedSince
    ),
)
async def create_job(
    body: CreateJob,
    user: Trainer,
    pool: Db,
    others: Others,
    settings: Configured,
    *,
    key: IdempotencyKey = None,
    retry_count: RetryCount = "0",
) -> FineTuningJob:
    """The file need not be validated yet. Sent again by its client, a request gets the job that it made."""
    translation = translate(body, await resolve_model(pool, body.model), await _default_gpu(pool, settings))
    asked = body.model_dump_json(exclude_unset=True, exclude={"method": {"reinforcement"}})
    sha256 = repetition.digest("fine_tuning.jobs", asked)
    repeated = retry_count.strip("0").isdecimal()
    claim = Claim(sha256, began_at=utc_now(), key=key, guarded=key is None, repeated=repeated)
    try:
        job = await carry_out(pool, others, user.id, translation.order, claim)
    except (Invalid, ModelNotFound, DatasetNotReady) as error:
        raise type(error)(translation.replace(error.details)) from None
    except DatasetNotFound as error:
        missing = "validation_file" if error.details else "training_file"
        raise FileNotFound({missing: ["is no file of yours"]}) from None
    return view(job, utc_now())


@router.get("", summary="Your fine-tuning jobs, newest first")
async def list_jobs(
    request: Request, user: Reader, pool: Db, after: After = None, limit: Limit = 20
) -> ListOf[FineTuningJob]:
    """All, or those with the metadata that `metadata[key]=value` asks for."""
    metadata = read_metadata(request.query_params.multi_items())
    last = ids.read(ids.JOB, after) if after else None
    if after and last is None:
        raise Invalid({"after": ["no identifier of a job"]})
    found = await jobs.slice_jobs(pool, user.id, last, limit + 1, metadata)
    now = utc_now()
    return ListOf.of([view(job, now) for job in found], limit)


@router.get("/{job_id}", summary="One fine-tuning job")
async def get_job(job_id: str, user: Reader, pool: Db) -> FineTuningJob:
    """As it is now."""
    return view(await _find(pool, user.id, job_id), utc_now())


@router.post("/{job_id}/cancel", summary="Cancel a fine-tuning job", responses=refuses(JobFinished))
async def cancel_job(job_id: str, user: Trainer, pool: Db) -> FineTuningJob:
    """The job is asked to stop; its status follows when it has."""
    job = await _find(pool, user.id, job_id)
    async with transaction(pool) as conn:
        await actions.cancel_job(conn, user.id, job.id)
    return view(await _find(pool, user.id, job_id), utc_now())


@router.post("/{job_id}/pause", summary="Pause a fine-tuning job", responses=refuses(JobNotPausable))
async def pause_job(job_id: str, user: Trainer, pool: Db) -> FineTuningJob:
    """The job is asked to save a checkpoint and to give its GPUs back; it is `paused` when it has."""
    job = await _find(pool, user.id, job_id)
    async with transaction(pool) as conn:
        await actions.pause_job(conn, user.id, job.id)
    return view(await _find(pool, user.id, job_id), utc_now())


@router.post("/{job_id}/resume", summary="Resume a fine-tuning job", responses=refuses(JobNotPaused))
async def resume_job(job_id: str, user: Trainer, pool: Db) -> FineTuningJob:
    """The job waits for GPUs again, and goes on from its last checkpoint where its cluster still has it."""
    job = await _find(pool, user.id, job_id)
    async with transaction(pool) as conn:
        await actions.resume_job(conn, user.id, job.id)
    return view(await _find(pool, user.id, job_id), utc_now())


@router.get("/{job_id}/events", summary="A fine-tuning job's log, newest first")
async def list_events(
    job_id: str, user: Reader, pool: Db, others: Others, *, after: After = None, limit: Limit = 20
) -> ListOf[FineTuningJobEvent]:
    """What happened before the event `after`."""
    job = await _find(pool, user.id, job_id)
    last = ids.read_event(after) if after else None
    if after and last is None:
        raise Invalid({"after": ["no identifier of an event"]})
    fetch = partial(tracker.fetch_events, others.tracker, user.id, job.id, order="desc")
    return ListOf.of([view_event(entry) for entry in await _fetch(fetch, last, limit + 1)], limit)


@router.get("/{job_id}/checkpoints", summary="A fine-tuning job's checkpoints, newest first")
async def list_checkpoints(
    job_id: str, user: Reader, pool: Db, others: Others, *, after: After = None, limit: Limit = 10
) -> Checkpoints:
    """The states that were saved."""
    job = await _find(pool, user.id, job_id)
    last = ids.read_checkpoint(after) if after else None
    if after and last is None:
        raise Invalid({"after": ["no identifier of a checkpoint"]})
    fetch = partial(tracker.fetch_checkpoints, others.tracker, user.id, job.id)
    found = [view_checkpoint(job, checkpoint) for checkpoint in await _fetch(fetch, last, limit + 1)]
    shown = found[:limit]
    return Checkpoints(
        data=shown,
        first_id=shown[0].id if shown else None,
        last_id=shown[-1].id if shown else None,
        has_more=len(found) > limit,
    )


async def _fetch(
    fetch: Callable[..., Awaitable[list[dict[str, Any]]]], after: int | str | None, wanted: int
) -> list[dict[str, Any]]:
    """So many of the tracker's entries after one, in as many calls as they take."""
    found: list[dict[str, Any]] = []
    while len(found) < wanted:
        size = min(wanted - len(found), ENTRIES_AT_ONCE)
        page = await fetch(after=after, limit=size)
        found += page
        if len(page) < size:
            break
        after = page[-1]["id"]
    return found


async def _default_gpu(pool: Pool, settings: Settings) -> str:
    """What the operator says, or the cheapest there is."""
    if settings.default_gpu:
        return settings.default_gpu
    known = await prices.list_gpus(pool)
    return known[0].type if known else "none"


async def _find(pool: Pool, user_id: UUID, job_id: str) -> Job:
    found = ids.read(ids.JOB, job_id)
    job = await jobs.find_job(pool, user_id, found) if found else None
    if job is None:
        raise NotFound
    return job
