"""Data sets: upload, list, report, signed URL."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

import structlog
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import StringConstraints, TypeAdapter, ValidationError
from starlette.requests import ClientDisconnect

from brightrun.artifacts.datasets import actions, queries
from brightrun.artifacts.datasets.models import Dataset, ReadingOptions
from brightrun.artifacts.datasets.schemas import Datasets, DatasetSlice, DatasetView
from brightrun.artifacts.dependencies import LimitsOf, PageOf, SliceOf, Store
from brightrun.artifacts.keys import CLUSTER_URL_LIFETIME, DATASETS, dataset_key
from brightrun.artifacts.storage import ObjectMissing
from brightrun.contracts.artifacts import MAX_COLUMNS_LENGTH, DatasetChanges, Name, SignedUrl
from brightrun.contracts.errors import UploadAborted
from brightrun.contracts.values import new_id
from brightrun.datasets.examples import FORMATS, KEYS
from brightrun.runtime.database import Db, Pool, transaction
from brightrun.runtime.errors import NotFound, ServiceError
from brightrun.runtime.http import Envelope
from brightrun.runtime.tokens import CallerOf

log = structlog.get_logger()
router = APIRouter(prefix="/datasets")

JSONL = "application/jsonl"
COLUMNS = TypeAdapter(dict[str, Annotated[str, StringConstraints(min_length=1, max_length=200)]])


class UnsupportedFormat(ServiceError, status=400, code="unsupported_format"):
    """Data sets of this format are not supported."""


class InvalidColumns(ServiceError, status=400, code="invalid_columns"):
    """`columns` must be a JSON object: keys of the format, and what the file calls them."""


@dataclass(frozen=True, slots=True)
class _Content:
    pieces: AsyncIterator[bytes]
    size: int


async def _content(dataset_id: UUID, caller: CallerOf, pool: Db, store: Store) -> AsyncIterator[_Content]:
    """The file, open until it is answered."""
    dataset = await find_dataset(pool, caller.user, dataset_id)
    try:
        async with store.open(DATASETS, dataset_key(caller.user, dataset_id)) as pieces:
            yield _Content(pieces, dataset.size)
    except ObjectMissing:
        raise NotFound from None


Content = Annotated[_Content, Depends(_content)]


@router.post("", status_code=201)
async def upload_dataset(
    *,
    request: Request,
    name: Name,
    caller: CallerOf,
    pool: Db,
    store: Store,
    limits: LimitsOf,
    file_format: Annotated[str | None, Query(alias="format")] = None,
    columns: Annotated[str, Query(max_length=MAX_COLUMNS_LENGTH)] = "{}",
) -> Envelope[DatasetView]:
    """Take a file of up to 5 GiB as the request's body; it is validated afterwards."""
    options = _options(file_format, columns)
    dataset_id = new_id()
    key = dataset_key(caller.user, dataset_id)
    async with transaction(pool) as conn:
        await actions.announce_object(conn, key)
    try:
        stored = await store.put(DATASETS, key, request.stream(), limits.dataset_bytes, from_user=True)
    except ClientDisconnect:
        log.info("upload.aborted", dataset_id=str(dataset_id))
        raise UploadAborted from None
    try:
        async with transaction(pool) as conn:
            dataset = await actions.record_dataset(
                conn, dataset_id, caller.user, name=name, options=options, stored=stored
            )
    except BaseException:
        await store.remove(DATASETS, key)
        raise
    return Envelope(data=DatasetView.model_validate(dataset))


@router.get("")
async def list_datasets(page: PageOf, caller: CallerOf, pool: Db) -> Envelope[Datasets]:
    """The user's data sets, newest first."""
    rows = await queries.list_datasets(pool, caller.user, page.offset, page.limit)
    total = await queries.count_datasets(pool, caller.user)
    return Envelope(
        data=Datasets(datasets=[DatasetView.model_validate(row) for row in rows], pagination=page.of(total))
    )


@router.get("/slice")
async def slice_datasets(part: SliceOf, caller: CallerOf, pool: Db) -> Envelope[DatasetSlice]:
    """The user's data sets by age, from the one after a given one on."""
    after = (part.at, part.id) if part.at and part.id else None
    rows = await queries.slice_datasets(pool, caller.user, after, part.limit, newest_first=part.order == "desc")
    return Envelope(data=DatasetSlice(datasets=[DatasetView.model_validate(row) for row in rows]))


@router.get("/{dataset_id}")
async def get_dataset(dataset_id: UUID, caller: CallerOf, pool: Db) -> Envelope[DatasetView]:
    """One data set."""
    return Envelope(data=DatasetView.model_validate(await find_dataset(pool, caller.user, dataset_id)))


@router.patch("/{dataset_id}")
async def rename_dataset(dataset_id: UUID, body: DatasetChanges, caller: CallerOf, pool: Db) -> Envelope[DatasetView]:
    """Call a data set something else."""
    async with transaction(pool) as conn:
        dataset = await queries.rename_dataset(conn, caller.user, dataset_id, body.name)
    if dataset is None:
        raise NotFound
    return Envelope(data=DatasetView.model_validate(dataset))


@router.post("/{dataset_id}/drop-invalid")
async def drop_invalid(dataset_id: UUID, caller: CallerOf, pool: Db) -> Envelope[DatasetView]:
    """Validate an invalid data set once more, without its invalid examples."""
    await find_dataset(pool, caller.user, dataset_id)
    async with transaction(pool) as conn:
        dataset = await actions.drop_invalid(conn, caller.user, dataset_id)
    return Envelope(data=DatasetView.model_validate(dataset))


@router.delete("/{dataset_id}")
async def delete_dataset(dataset_id: UUID, caller: CallerOf, pool: Db) -> Envelope[None]:
    """Forget a data set; whether a job still needs it is for the caller to know."""
    async with transaction(pool) as conn:
        await actions.delete_dataset(conn, caller.user, dataset_id)
    return Envelope(data=None)


@router.get("/{dataset_id}/content", response_class=StreamingResponse)
async def read_content(content: Content) -> StreamingResponse:
    """The file as it was uploaded."""
    return StreamingResponse(content.pieces, headers={"content-length": str(content.size)}, media_type=JSONL)


@router.get("/{dataset_id}/url")
async def sign_dataset(dataset_id: UUID, caller: CallerOf, pool: Db, store: Store) -> Envelope[SignedUrl]:
    """A URL that a cluster fetches the examples from, in OpenAI's shape."""
    dataset = await find_dataset(pool, caller.user, dataset_id)
    url = store.sign(DATASETS, dataset.examples_key or dataset_key(caller.user, dataset_id), CLUSTER_URL_LIFETIME)
    return Envelope(data=SignedUrl(url=url, expires_in=int(CLUSTER_URL_LIFETIME.total_seconds())))


async def find_dataset(pool: Pool, user_id: UUID, dataset_id: UUID) -> Dataset:
    dataset = await queries.find_dataset(pool, user_id, dataset_id)
    if dataset is None:
        raise NotFound
    return dataset


def _options(file_format: str | None, columns: str) -> ReadingOptions:
    if file_format is not None and file_format not in FORMATS:
        raise UnsupportedFormat({"supported": list(FORMATS)})
    keys = {key for name in FORMATS if file_format in (None, name) for key in KEYS[name]}
    try:
        names = COLUMNS.validate_json(columns)
    except ValidationError as error:
        raise InvalidColumns({"columns": [problem["msg"] for problem in error.errors()]}) from None
    if unknown := sorted(names.keys() - keys):
        raise InvalidColumns(
            {"columns": [f"{key} is not a key of the format" for key in unknown], "keys": sorted(keys)}
        )
    return ReadingOptions(file_format, names)
