"""HTTP routes of fine-tuning jobs."""

import re
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request

from brightrun.api import errors
from brightrun.api.accounts.authentication import Reader, Trainer
from brightrun.api.checkpoints.actions import COPY_ERRORS, add_availability
from brightrun.api.http.error_responses import error_responses
from brightrun.api.http.parameters import WHOLE_NUMBER, AppSettings, Clients, IdempotencyKey
from brightrun.api.jobs import actions, submission
from brightrun.api.jobs import queries as jobs
from brightrun.api.jobs import rules as repetition
from brightrun.api.jobs.models import IdempotencyClaim, Job
from brightrun.api.openai import ids
from brightrun.api.openai.actions import resolve_model
from brightrun.api.openai.file_schemas import After, ListOf
from brightrun.api.openai.schemas import Checkpoints, CreateJob, FineTuningJob, FineTuningJobEvent
from brightrun.api.openai.translation import translate
from brightrun.api.openai.views import view, view_checkpoint, view_event
from brightrun.api.pricing import gpu_check
from brightrun.api.pricing import queries as prices
from brightrun.api.pricing.gpu_check import GpuCheckedRoute
from brightrun.api.settings import Settings
from brightrun.contracts.values import utc_now
from brightrun.runtime.database import Db, Pool, transaction
from brightrun.runtime.errors import NotFound

router = APIRouter(prefix="/fine_tuning/jobs", tags=["fine-tuning"], route_class=GpuCheckedRoute)
ENTRIES_AT_ONCE = 100
Limit = Annotated[int, Query(ge=1, le=100), WHOLE_NUMBER]
RetryCount = Annotated[
    str, Header(alias="x-stainless-retry-count", max_length=20, description="how often the client has sent it before")
]


@router.post(
    "",
    summary="Create a fine-tuning job",
    responses=error_responses(
        errors.Unsupported,
        errors.Untrainable,
        errors.NotRunnable,
        errors.DatasetNotReady,
        errors.ModelNotFound,
        errors.FileNotFound,
        errors.KeyInFlight,
        errors.KeyReused,
        errors.JobDeletedSince,
        *COPY_ERRORS,
    ),
)
async def create_job(
    body: CreateJob,
    user: Trainer,
    pool: Db,
    clients: Clients,
    settings: AppSettings,
    *,
    key: IdempotencyKey = None,
    retry_count: RetryCount = "0",
) -> FineTuningJob:
    """The file need not be validated yet. A request that its client repeats returns the same job."""
    model = await resolve_model(pool, clients, user.id, body.model, keep_copy=settings.copy_lifetime)
    default_gpu = await _default_gpu(pool, settings)
    try:
        translation = translate(body, model, default_gpu)
    except errors.Invalid as error:
        gpu_type = body.gpu_config.type if body.gpu_config else default_gpu
        raise errors.Invalid(error.details | await gpu_check.find_problems(pool, gpu_type)) from None
    submitted = body.model_dump_json(exclude_unset=True, exclude={"method": {"reinforcement"}})
    sha256 = repetition.digest("fine_tuning.jobs", submitted)
    repeated = retry_count.strip("0").isdecimal()
    claim = IdempotencyClaim(sha256, began_at=utc_now(), key=key, guarded=key is None, repeated=repeated)
    try:
        job = await submission.create_job(pool, clients, user.id, translation.request, claim)
    except (errors.Invalid, errors.ModelNotFound, errors.DatasetNotReady) as error:
        raise type(error)(translation.rename(error.details)) from None
    except errors.DatasetNotFound as error:
        missing = "validation_file" if error.details else "training_file"
        raise errors.FileNotFound({missing: ["is no file of yours"]}) from None
    return view(job, utc_now())


@router.get("", summary="Your fine-tuning jobs, newest first")
async def list_jobs(
    request: Request, user: Reader, pool: Db, after: After = None, limit: Limit = 20
) -> ListOf[FineTuningJob]:
    """All, or those with the metadata `metadata[key]=value`."""
    metadata = read_metadata(request.query_params.multi_items())
    last = ids.read(ids.JOB, after) if after else None
    if after and last is None:
        raise errors.Invalid({"after": ["no identifier of a job"]})
    found = await jobs.slice_jobs(pool, user.id, last, limit + 1, metadata)
    now = utc_now()
    return ListOf.of([view(job, now) for job in found], limit)


@router.get("/{job_id}", summary="One fine-tuning job")
async def get_job(job_id: str, user: Reader, pool: Db) -> FineTuningJob:
    """Its current state."""
    return view(await _find(pool, user.id, job_id), utc_now())


@router.post("/{job_id}/cancel", summary="Cancel a fine-tuning job", responses=error_responses(errors.JobFinished))
async def cancel_job(job_id: str, user: Trainer, pool: Db) -> FineTuningJob:
    """Requests a stop; the status changes when the job has stopped."""
    async with transaction(pool) as conn:
        job = await actions.cancel_job(conn, user.id, _read(job_id))
    return view(job, utc_now())


@router.post("/{job_id}/pause", summary="Pause a fine-tuning job", responses=error_responses(errors.JobNotPausable))
async def pause_job(job_id: str, user: Trainer, pool: Db) -> FineTuningJob:
    """Requests a checkpoint and the release of the GPUs; the job is `paused` afterwards."""
    async with transaction(pool) as conn:
        job = await actions.pause_job(conn, user.id, _read(job_id))
    return view(job, utc_now())


@router.post("/{job_id}/resume", summary="Resume a fine-tuning job", responses=error_responses(errors.JobNotPaused))
async def resume_job(job_id: str, user: Trainer, pool: Db) -> FineTuningJob:
    """The job waits for GPUs again, and resumes from its last checkpoint if its cluster still has it."""
    async with transaction(pool) as conn:
        job = await actions.resume_job(conn, user.id, _read(job_id))
    return view(job, utc_now())


@router.get("/{job_id}/events", summary="A fine-tuning job's log, newest first")
async def list_events(
    job_id: str, user: Reader, pool: Db, clients: Clients, *, after: After = None, limit: Limit = 20
) -> ListOf[FineTuningJobEvent]:
    """The events before `after`."""
    job = await _find(pool, user.id, job_id)
    last = ids.read_event(after) if after else None
    if after and last is None:
        raise errors.Invalid({"after": ["no identifier of an event"]})
    fetch = partial(clients.tracker.list_events, user.id, job.id, order="desc")
    return ListOf.of([view_event(entry) for entry in await _fetch(fetch, last, limit + 1)], limit)


@router.get("/{job_id}/checkpoints", summary="A fine-tuning job's checkpoints, newest first")
async def list_checkpoints(
    job_id: str, user: Reader, pool: Db, clients: Clients, *, after: After = None, limit: Limit = 10
) -> Checkpoints:
    """With their metrics, and how long each can be had."""
    job = await _find(pool, user.id, job_id)
    last = ids.read_checkpoint(after) if after else None
    if after and last is None:
        raise errors.Invalid({"after": ["no identifier of a checkpoint"]})
    fetch = partial(clients.tracker.list_checkpoints, user.id, job.id)
    found = await _fetch(fetch, last, limit + 1)
    availabilities = await add_availability(pool, clients, job, found[:limit])
    pairs = zip(found[:limit], availabilities, strict=True)
    shown = [view_checkpoint(job, checkpoint, availability) for checkpoint, availability in pairs]
    return Checkpoints(
        data=shown,
        first_id=shown[0].id if shown else None,
        last_id=shown[-1].id if shown else None,
        has_more=len(found) > limit,
    )


async def _fetch(
    fetch: Callable[..., Awaitable[list[dict[str, Any]]]], after: int | str | None, count: int
) -> list[dict[str, Any]]:
    """Up to `count` of the tracker's entries after one, in several calls."""
    found: list[dict[str, Any]] = []
    while len(found) < count:
        size = min(count - len(found), ENTRIES_AT_ONCE)
        page = await fetch(after=after, limit=size)
        found += page
        if len(page) < size:
            break
        after = page[-1]["id"]
    return found


async def _default_gpu(pool: Pool, settings: Settings) -> str:
    """The operator's default, or the cheapest."""
    if settings.default_gpu:
        return settings.default_gpu
    known = await prices.list_gpus(pool)
    return known[0].type if known else "none"


async def _find(pool: Pool, user_id: UUID, job_id: str) -> Job:
    return await actions.get_job(pool, user_id, _read(job_id))


def _read(job_id: str) -> UUID:
    return ids.require(ids.JOB, job_id, NotFound)


_KEY = re.compile(r"metadata\[(.{1,64})\]", re.DOTALL)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def read_metadata(query: Iterable[tuple[str, str]]) -> dict[str, str] | None:
    """The filter `metadata[k]=v`; `{}` for `metadata=null`, which selects jobs without metadata; None for all."""
    filters: dict[str, str] = {}
    null = False
    for name, value in query:
        if key := _KEY.fullmatch(name):
            filters[key[1]] = value
        elif name == "metadata" and value == "null":
            null = True
        elif name.startswith("metadata"):
            raise errors.Invalid({"metadata": ["filter by metadata[key]=value, or metadata=null"]})
    if filters and null:
        raise errors.Invalid({"metadata": ["give metadata[key]=value or metadata=null, not both"]})
    if _UNSTORABLE.search("".join([*filters, *filters.values()])):
        raise errors.Invalid({"metadata": ["text must not contain NUL or lone surrogates"]})
    return filters if filters or null else None
