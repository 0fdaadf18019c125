"""The result of a validation: errors, warnings, both as a file, and a preview."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from brightrun.artifacts.datasets import queries
from brightrun.artifacts.datasets.content import Content, in_threads
from brightrun.artifacts.datasets.models import Dataset
from brightrun.artifacts.datasets.routes import find_dataset
from brightrun.artifacts.datasets.rules.preview import Selection, preview
from brightrun.artifacts.datasets.rules.report import ReportFormat, write_report
from brightrun.artifacts.datasets.rules.statistics import LONG_TOKENS
from brightrun.artifacts.datasets.schemas import Errors, IssueView, PreviewView, Warnings
from brightrun.artifacts.dependencies import Page, PageOf, Store
from brightrun.artifacts.storage import ObjectMissing
from brightrun.contracts.artifacts import MAX_PREVIEWED
from brightrun.contracts.errors import DatasetNotValidated
from brightrun.contracts.pagination import Pagination
from brightrun.runtime.database import Db, Pool
from brightrun.runtime.errors import NotFound
from brightrun.runtime.http import Envelope
from brightrun.runtime.tokens import CallerOf

router = APIRouter(prefix="/datasets")

Code = Annotated[str | None, Query(max_length=60)]


@router.get("/{dataset_id}/errors")
async def list_errors(
    dataset_id: UUID, page: PageOf, caller: CallerOf, pool: Db, code: Code = None
) -> Envelope[Errors]:
    """The errors of a data set in the order of its lines, or those of one code."""
    dataset = await find_dataset(pool, caller.user, dataset_id)
    issues, pagination = await _list_issues(pool, dataset, "error", code, page)
    return Envelope(
        data=Errors(
            errors=issues,
            error_count=dataset.error_count,
            errors_by_code=dataset.errors_by_code,
            pagination=pagination,
        )
    )


@router.get("/{dataset_id}/warnings")
async def list_warnings(
    dataset_id: UUID, page: PageOf, caller: CallerOf, pool: Db, code: Code = None
) -> Envelope[Warnings]:
    """The warnings about a data set in the order of its lines, or those of one code."""
    dataset = await find_dataset(pool, caller.user, dataset_id)
    issues, pagination = await _list_issues(pool, dataset, "warning", code, page)
    return Envelope(data=Warnings(warnings=issues, warnings_by_code=dataset.warnings_by_code, pagination=pagination))


async def _report(
    *,
    dataset_id: UUID,
    caller: CallerOf,
    pool: Db,
    store: Store,
    file_format: Annotated[ReportFormat, Query(alias="format")] = "jsonl",
) -> AsyncIterator[AsyncIterator[bytes]]:
    """The report, whose data set is open until it is answered."""
    dataset = await find_dataset(pool, caller.user, dataset_id)
    issues = await queries.list_all_issues(pool, dataset_id)
    try:
        async with Content(store, dataset).open() as pieces:
            yield in_threads(write_report(pieces, dataset.options, issues, file_format))
    except ObjectMissing:
        raise NotFound from None


@router.get("/{dataset_id}/report", response_class=StreamingResponse)
async def read_report(report: Annotated[AsyncIterator[bytes], Depends(_report)]) -> StreamingResponse:
    """All stored errors and warnings, each beside the line that it speaks of."""
    return StreamingResponse(report)


@router.get("/{dataset_id}/preview")
async def read_preview(
    *,
    dataset_id: UUID,
    caller: CallerOf,
    pool: Db,
    store: Store,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_PREVIEWED)] = 10,
    text: Annotated[str, Query(max_length=200)] = "",
    max_length: Annotated[int, Query(ge=1)] = LONG_TOKENS,
) -> Envelope[PreviewView]:
    """Examples as they are trained, valid or not, from the first 64 MiB of the file's lines."""
    dataset = await find_dataset(pool, caller.user, dataset_id)
    if dataset.validated_at is None:
        raise DatasetNotValidated({"status": dataset.status})
    selection = Selection(offset, limit, text, max_length)
    try:
        async with Content(store, dataset).open() as pieces:
            found = await asyncio.to_thread(preview, pieces, dataset.format, dataset.options, selection)
    except ObjectMissing:
        raise NotFound from None
    return Envelope(data=PreviewView.model_validate(found))


async def _list_issues(
    pool: Pool, dataset: Dataset, severity: str, code: str | None, page: Page
) -> tuple[list[IssueView], Pagination]:
    issues = await queries.list_issues(pool, dataset.id, severity, code, offset=page.offset, limit=page.limit)
    total = await queries.count_issues(pool, dataset.id, severity, code)
    return [IssueView.model_validate(issue) for issue in issues], page.of(total)
