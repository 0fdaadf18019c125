"""HTTP routes of data sets, which the artifacts service owns."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from brightrun.api.accounts.authentication import Reader, Trainer
from brightrun.api.datasets import actions, queries
from brightrun.api.errors import DatasetInUse, DatasetNotFound
from brightrun.api.http.bodies import Body, JsonObject, Passed, example
from brightrun.api.http.error_responses import error_responses
from brightrun.api.http.parameters import Clients, Limit, Page
from brightrun.contracts.artifacts import MAX_COLUMNS_LENGTH, MAX_PREVIEWED, DatasetChanges, Name
from brightrun.contracts.errors import (
    DatasetNotInvalid,
    DatasetNotValidated,
    TooManyUploads,
    UploadAborted,
    UploadStalled,
    UploadTooSlow,
)
from brightrun.contracts.pagination import Pagination
from brightrun.runtime.clients import UPLOAD_TIMEOUT_SECONDS
from brightrun.runtime.database import Db, transaction
from brightrun.runtime.http import BoundedRoute, Envelope


class DatasetPage(Passed):
    """A page of data sets, newest first."""

    datasets: list[JsonObject]
    pagination: Pagination


class DatasetErrors(Passed):
    """A page of a data set's validation errors, in the order of its lines."""

    errors: list[JsonObject]
    pagination: Pagination


class DatasetWarnings(Passed):
    """A page of the warnings about a data set, in the order of its lines."""

    warnings: list[JsonObject]
    pagination: Pagination


class DatasetPreview(Passed):
    """Some examples of a data set; `next_offset` is null when there are no more in the part that is previewed."""

    examples: list[JsonObject]
    next_offset: int | None
    complete: bool


ReportFormat = Literal["jsonl", "csv"]
MEDIA_TYPE_OF: dict[ReportFormat, str] = {"jsonl": "application/jsonl", "csv": "text/csv"}
REPORT = {name: {"schema": {"type": "string", "format": "binary"}} for name in MEDIA_TYPE_OF.values()}


@dataclass(frozen=True, slots=True)
class _Report:
    content: AsyncIterator[bytes]
    format: ReportFormat


class RenameDataset(DatasetChanges, Body):
    """The new name of a data set."""

    model_config = example({"name": "Workshop replies"})


MEDIA_TYPES = (
    "application/jsonl", "text/csv", "application/gzip", "application/zstd", "application/vnd.apache.parquet"
)  # fmt: skip
router = APIRouter(prefix="/datasets", tags=["data sets"], route_class=BoundedRoute)
uploads = APIRouter(prefix="/datasets", tags=["data sets"])
DatasetName = Annotated[Name, Query(description="the name of the data set")]
Format = Annotated[
    str,
    Query(
        pattern=r"^[a-z0-9_-]{1,40}$",
        description="openai_chat, prompt_completion, alpaca, sharegpt or dpo; detected when not given",
    ),
]
ColumnNames = Annotated[
    str,
    Query(
        max_length=MAX_COLUMNS_LENGTH,
        description='keys of the format that have other names in the file, such as {"prompt": "question"}',
    ),
]
Code = Annotated[str, Query(max_length=60, description="list those with this code only")]


@uploads.post(
    "",
    status_code=201,
    summary="Upload a data set",
    responses=error_responses(TooManyUploads, UploadAborted, UploadStalled, UploadTooSlow),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {name: {"schema": {"contentMediaType": name}} for name in MEDIA_TYPES},
        }
    },
)
async def upload_dataset(
    *,
    request: Request,
    name: DatasetName,
    user: Trainer,
    clients: Clients,
    format: Format | None = None,  # noqa: A002
    columns: ColumnNames | None = None,
) -> Envelope[JsonObject]:
    """The body is the file itself: JSON Lines, a JSON array or CSV in UTF-8, plain or with gzip or zstd, or Parquet.

    It is streamed on and validated in the background.
    """
    params = {"name": name, "format": format, "columns": columns}
    params = {key: value for key, value in params.items() if value is not None}
    try:
        return Envelope(data=await clients.artifacts.upload("/datasets", user.id, request.stream(), **params))
    except ClientDisconnect:
        raise UploadAborted from None


@router.get("", summary="Your data sets, newest first")
async def list_datasets(user: Reader, clients: Clients, page: Page = 1, limit: Limit = 20) -> Envelope[DatasetPage]:
    """With their status and validation results."""
    return Envelope(data=await clients.artifacts.get("/datasets", user.id, page=page, limit=limit))


@router.get("/{dataset_id}", summary="One data set")
async def get_dataset(dataset_id: UUID, user: Reader, clients: Clients) -> Envelope[JsonObject]:
    """With its status and validation results."""
    return Envelope(data=await clients.artifacts.get(f"/datasets/{dataset_id}", user.id))


@router.patch("/{dataset_id}", summary="Rename a data set")
async def rename_dataset(
    dataset_id: UUID, body: RenameDataset, user: Trainer, pool: Db, clients: Clients
) -> Envelope[JsonObject]:
    """Existing jobs keep the previous name."""
    changed = await clients.artifacts.send("PATCH", f"/datasets/{dataset_id}", user.id, json=body.model_dump())
    async with transaction(pool) as conn:
        await queries.rename_dataset(conn, user.id, dataset_id, body.name)
    return Envelope(data=changed)


@router.post(
    "/{dataset_id}/drop-invalid",
    summary="Leave invalid examples out",
    responses=error_responses(DatasetNotInvalid),
)
async def drop_invalid(dataset_id: UUID, user: Trainer, clients: Clients) -> Envelope[JsonObject]:
    """Validates an invalid data set once more and trains on what is left, if that is enough. Its errors stay listed."""
    return Envelope(data=await clients.artifacts.send("POST", f"/datasets/{dataset_id}/drop-invalid", user.id))


@router.delete("/{dataset_id}", summary="Delete a data set", responses=error_responses(DatasetInUse, DatasetNotFound))
async def delete_dataset(dataset_id: UUID, user: Trainer, pool: Db, clients: Clients) -> Envelope[None]:
    """Rejected while a job uses it. Models trained on it stay."""
    await actions.delete_dataset(pool, clients, user.id, dataset_id)
    return Envelope(data=None)


@router.get("/{dataset_id}/errors", summary="Validation errors of a data set")
async def list_dataset_errors(
    *, dataset_id: UUID, user: Reader, clients: Clients, page: Page = 1, limit: Limit = 20, code: Code | None = None
) -> Envelope[DatasetErrors]:
    """Each with its line, in the order of the lines. `errors_by_code` counts them."""
    path = f"/datasets/{dataset_id}/errors"
    return Envelope(data=await clients.artifacts.get(path, user.id, page=page, limit=limit, code=code))


@router.get("/{dataset_id}/warnings", summary="Warnings about a data set")
async def list_dataset_warnings(
    *, dataset_id: UUID, user: Reader, clients: Clients, page: Page = 1, limit: Limit = 20, code: Code | None = None
) -> Envelope[DatasetWarnings]:
    """Each with its line (0: the whole data set). Warnings do not keep a data set from being trained on."""
    path = f"/datasets/{dataset_id}/warnings"
    return Envelope(data=await clients.artifacts.get(path, user.id, page=page, limit=limit, code=code))


@router.get(
    "/{dataset_id}/preview",
    summary="Examples as they are trained",
    responses=error_responses(DatasetNotValidated),
)
async def get_dataset_preview(
    *,
    dataset_id: UUID,
    user: Reader,
    clients: Clients,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_PREVIEWED)] = 10,
    text: Annotated[str, Query(max_length=200, description="examples whose line contains it")] = "",
    max_length: Annotated[int, Query(ge=16, le=1_048_576, description="as in the hyperparameters of a job")] = 1024,
) -> Envelope[DatasetPreview]:
    """Messages with `trained` and `cut`, errors of invalid examples, and raw lines. Tokens are estimated."""
    params = {"offset": offset, "limit": limit, "text": text, "max_length": max_length}
    path = f"/datasets/{dataset_id}/preview"
    found = await clients.artifacts.send("GET", path, user.id, params=params, timeout=UPLOAD_TIMEOUT_SECONDS)
    return Envelope(data=found)


async def _report(
    dataset_id: UUID,
    user: Reader,
    clients: Clients,
    format: ReportFormat = "jsonl",  # noqa: A002
) -> AsyncIterator[_Report]:
    """The report, open until the response ends."""
    path = f"/datasets/{dataset_id}/report"
    async with clients.artifacts.open(path, user.id, params={"format": format}) as content:
        yield _Report(content, format)


@router.get(
    "/{dataset_id}/report",
    summary="Errors and warnings as a file",
    response_class=StreamingResponse,
    responses={200: {"description": "The report", "content": REPORT}},
)
async def get_report(report: Annotated[_Report, Depends(_report)]) -> StreamingResponse:
    """Those that are kept, each beside the line that it speaks of, as JSON lines or CSV."""
    headers = {"content-disposition": f'attachment; filename="report.{report.format}"'}
    return StreamingResponse(report.content, headers=headers, media_type=MEDIA_TYPE_OF[report.format])
