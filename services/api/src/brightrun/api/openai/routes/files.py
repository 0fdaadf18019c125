"""HTTP routes of files: data sets, and results of completed jobs, which are rendered on every read."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from brightrun.api.accounts.authentication import Reader, Trainer
from brightrun.api.datasets.actions import delete_dataset
from brightrun.api.errors import (
    BrokenForm,
    DatasetInUse,
    DatasetNotFound,
    FileNotFound,
    FileTooLarge,
    ResultsKept,
    Unsupported,
)
from brightrun.api.http.clients import ServiceClients, find
from brightrun.api.http.error_responses import Responses, error_responses
from brightrun.api.http.parameters import WHOLE_NUMBER, AppLimits, Clients
from brightrun.api.jobs import queries as jobs
from brightrun.api.openai import ids, queries
from brightrun.api.openai.file_rules import (
    FINE_TUNE,
    RESULTS,
    RESULTS_NAME,
    File,
    SortOrder,
    check_fields,
    clean_name,
    header,
    merge,
    of_dataset,
    of_results,
    rows,
)
from brightrun.api.openai.file_schemas import After, Deleted, FileObject, ListOf
from brightrun.api.openai.forms import Form
from brightrun.api.openai.queries import FinishedJob
from brightrun.contracts.errors import TooManyUploads, UploadAborted, UploadStalled, UploadTooSlow
from brightrun.contracts.values import utc_now
from brightrun.runtime.database import Db, Pool, transaction
from brightrun.runtime.errors import Unavailable

STEPS_PER_READ = 4000
POINTS_PER_READ = 10_000
"""More than one for each step, so that the tracker does not downsample."""
SETTLED = timedelta(minutes=5)
"""After this time since its end, all metrics of a job are stored."""


async def _read_results(pool: Pool, clients: ServiceClients, user_id: UUID, job_id: UUID) -> AsyncIterator[str]:
    """The file as CSV, in pieces."""
    job = await jobs.find_job(pool, user_id, job_id)
    last = max(job.planned_steps, job.latest.step if job.latest else 0) if job else 0
    piece = header()
    for first in range(0, last + 1, STEPS_PER_READ):
        window = {"from": first, "to": first + STEPS_PER_READ - 1, "max_points": POINTS_PER_READ}
        yield piece + rows(await clients.tracker.list_metrics(user_id, job_id, **window))
        piece = ""


async def _describe_results(pool: Pool, clients: ServiceClients, user_id: UUID, job: FinishedJob) -> File:
    """The file's description; its size requires rendering it once."""
    size = job.results_size
    if size is None:
        size = sum([len(piece) async for piece in _read_results(pool, clients, user_id, job.id)])
        if utc_now() - job.finished_at > SETTLED:
            async with transaction(pool) as conn:
                await queries.save_size(conn, job.id, size)
    return of_results(job.id, job.finished_at, size)


router = APIRouter(prefix="/files", tags=["files"])
SLICE = 1000
MAX_CONCURRENT_RENDERINGS = 8
FORM = {
    "type": "object",
    "required": ["file", "purpose"],
    "properties": {"file": {"type": "string", "format": "binary"}, "purpose": {"const": FINE_TUNE}},
}
BINARY = {"schema": {"type": "string", "format": "binary"}}
CONTENT: Responses = {200: {"description": "The file", "content": {"application/jsonl": BINARY, "text/csv": BINARY}}}


@router.post(
    "",
    summary="Upload a file",
    responses=error_responses(
        BrokenForm, Unsupported, TooManyUploads, UploadAborted, UploadStalled, UploadTooSlow, FileTooLarge
    ),
    openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": FORM}}}},
)
async def create_file(request: Request, user: Trainer, clients: Clients, limits: AppLimits) -> FileObject:
    """JSON Lines of up to 512 MiB with `purpose=fine-tune`, validated afterwards; larger files come in parts."""
    body = clients.artifacts.uploads.limited(user.id, request.stream())
    form = Form(request.headers.get("content-type", ""), body, "file", limits.file_bytes)
    try:
        async with aclosing(body):
            found = await form.find_file()
            check_fields(form.fields, complete=not found, has_file=found)
            name = clean_name(form.filename or "")
            dataset = await clients.artifacts.relay("/datasets", user.id, _checked(form), name=name)
    except ClientDisconnect:
        raise UploadAborted from None
    return FileObject.model_validate(of_dataset(dataset))


async def _checked(form: Form) -> AsyncIterator[bytes]:
    """The file. Fields after it may still make the whole form invalid; nothing is stored then."""
    async for piece in form.read_file():
        yield piece
    check_fields(form.fields, complete=True, has_file=True)


@router.get("", summary="Your files", responses=error_responses(FileNotFound))
async def list_files(
    user: Reader,
    pool: Db,
    clients: Clients,
    *,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=10_000), WHOLE_NUMBER] = 10_000,
    order: SortOrder = "desc",
    purpose: Annotated[str | None, Query(max_length=100)] = None,
) -> ListOf[FileObject]:
    """Data sets and results by age, of one `purpose` or all."""
    purposes = {FINE_TUNE, RESULTS} if purpose is None else {purpose}
    beyond = await _find_position(pool, clients, user.id, after) if after else None
    part = _Part(beyond, limit + 1, order)
    datasets = await _list_datasets(clients, user.id, part) if FINE_TUNE in purposes else []
    made = await _list_results(pool, clients, user.id, part) if RESULTS in purposes else []
    found = [FileObject.model_validate(file) for file in merge(datasets, made, order, limit + 1)]
    return ListOf.of(found, limit)


@router.get("/{file_id}", summary="One file", responses=error_responses(FileNotFound))
async def get_file(file_id: str, user: Reader, pool: Db, clients: Clients) -> FileObject:
    """With its size and validation status."""
    if job := await _find_finished(pool, user.id, file_id):
        return FileObject.model_validate(await _describe_results(pool, clients, user.id, job))
    return FileObject.model_validate(await _find_dataset(clients, user.id, file_id))


@router.delete(
    "/{file_id}", summary="Delete a file", responses=error_responses(FileNotFound, DatasetInUse, ResultsKept)
)
async def delete_file(file_id: str, user: Trainer, pool: Db, clients: Clients) -> Deleted:
    """Rejected while a job uses it."""
    if await _find_finished(pool, user.id, file_id):
        raise ResultsKept
    dataset_id = ids.read(ids.FILE, file_id)
    if dataset_id is None:
        raise FileNotFound
    try:
        await delete_dataset(pool, clients, user.id, dataset_id)
    except DatasetNotFound:
        raise FileNotFound from None
    return Deleted(id=file_id, object="file")


@dataclass(frozen=True, slots=True)
class _Content:
    pieces: AsyncIterator[bytes] | AsyncIterator[str]
    name: str
    kind: str
    size: int | None = None


async def _content(file_id: str, user: Reader, pool: Db, clients: Clients) -> AsyncIterator[_Content]:
    """The file, open until the response ends."""
    if job := await _find_finished(pool, user.id, file_id):
        pieces = _read_results(pool, clients, user.id, job.id)
        first = await anext(pieces)
        yield _Content(_chain(first, pieces), RESULTS_NAME, "text/csv")
        return
    file = await _find_dataset(clients, user.id, file_id)
    dataset_id = ids.read(ids.FILE, file_id)
    async with clients.artifacts.open(f"/datasets/{dataset_id}/content", user.id) as content:
        yield _Content(content, f"{file_id}.jsonl", "application/jsonl", file.size)


@router.get(
    "/{file_id}/content",
    summary="What is in a file",
    response_class=StreamingResponse,
    responses=CONTENT | error_responses(FileNotFound),
)
async def get_content(content: Annotated[_Content, Depends(_content)]) -> StreamingResponse:
    """A data set as it was uploaded; results as CSV."""
    headers = {"content-disposition": f'attachment; filename="{content.name}"'}
    if content.size is not None:
        headers["content-length"] = str(content.size)
    return StreamingResponse(content.pieces, headers=headers, media_type=content.kind)


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a list: up to `limit` files after `(created_at, id)`."""

    after: tuple[datetime, UUID] | None
    limit: int
    order: Literal["asc", "desc"]


async def _chain(first: str, rest: AsyncIterator[str]) -> AsyncIterator[str]:
    yield first
    async for piece in rest:
        yield piece


async def _find_finished(pool: Pool, user_id: UUID, file_id: str) -> FinishedJob | None:
    """The job of a results file; None for other files. Raises FileNotFound."""
    job_id = ids.read(ids.RESULTS, file_id)
    if job_id is None:
        return None
    job = await queries.find_results(pool, user_id, job_id)
    if job is None:
        raise FileNotFound
    return job


async def _find_dataset(clients: ServiceClients, user_id: UUID, file_id: str) -> File:
    dataset_id = ids.read(ids.FILE, file_id)
    dataset = dataset_id and await find(clients.artifacts, user_id, f"/datasets/{dataset_id}")
    if not dataset:
        raise FileNotFound
    return of_dataset(dataset)


async def _find_position(pool: Pool, clients: ServiceClients, user_id: UUID, file_id: str) -> tuple[datetime, UUID]:
    if job := await _find_finished(pool, user_id, file_id):
        return job.finished_at, job.id
    file = await _find_dataset(clients, user_id, file_id)
    return file.created_at, UUID(hex=file_id.removeprefix(ids.FILE))


async def _list_datasets(clients: ServiceClients, user_id: UUID, part: _Part) -> list[File]:
    """Several bounded reads, since `limit` may be large."""
    found: list[File] = []
    at, last = part.after or (None, None)
    while len(found) < part.limit:
        size = min(SLICE, part.limit - len(found))
        position = {"at": at and at.isoformat(), "id": last and str(last)}
        page = await clients.artifacts.get("/datasets/slice", user_id, limit=size, order=part.order, **position)
        rows: Sequence[dict[str, str]] = page["datasets"]
        found += [of_dataset(row) for row in rows]
        if len(rows) < size:
            break
        at, last = datetime.fromisoformat(rows[-1]["created_at"]), UUID(rows[-1]["id"])
    return found


async def _list_results(pool: Pool, clients: ServiceClients, user_id: UUID, part: _Part) -> list[File]:
    jobs = await queries.slice_results(pool, user_id, part.after, part.limit, newest_first=part.order == "desc")
    lane = asyncio.Semaphore(MAX_CONCURRENT_RENDERINGS)

    async def describe(job: FinishedJob) -> File:
        async with lane:
            try:
                return await _describe_results(pool, clients, user_id, job)
            except Unavailable:  # a list without one size is better than none
                return of_results(job.id, job.finished_at, size=0)

    return list(await asyncio.gather(*(describe(job) for job in jobs)))
