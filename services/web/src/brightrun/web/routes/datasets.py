"""Data sets: list, upload, report."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from brightrun.contracts.errors import UploadAborted
from brightrun.web import pages
from brightrun.web.api import Api, SignedIn

router = APIRouter(prefix="/datasets")

MOST = 100
OVER = ("ready", "invalid")
MAX_BODY_BYTES = 2**63 - 1
"""Bytes; how large a data set may be is the API's to say, and its words are better than a bare 413."""


@router.get("")
async def show_datasets(request: Request, api: SignedIn) -> Response:
    """What there is, and the form to add to it."""
    return await pages.show(request, api, "datasets.html", datasets=await list_datasets(api))


@router.get("/live")
async def refresh_datasets(api: SignedIn) -> Response:
    """The list again, while some are being validated."""
    datasets = await list_datasets(api)
    return pages.part("_datasets.html", over=all(dataset["status"] in OVER for dataset in datasets), datasets=datasets)


@router.post("", max_body_size=MAX_BODY_BYTES)
async def upload_dataset(request: Request, api: SignedIn, name: str) -> Response:
    """Stream the body, which is the file itself, on to the API."""
    try:
        return JSONResponse(await api.upload(name, request.stream()), status_code=201)
    except ClientDisconnect:
        raise UploadAborted from None


@router.get("/{dataset_id}")
async def show_dataset(request: Request, api: SignedIn, dataset_id: UUID, page: int = 1) -> Response:
    """One data set, with what is wrong in which line."""
    dataset = await api.get(f"/api/datasets/{dataset_id}")
    report = await api.get(f"/api/datasets/{dataset_id}/errors", page=page, limit=50)
    return await pages.show(request, api, "dataset.html", dataset=dataset, report=report)


async def list_datasets(api: Api) -> list[dict[str, Any]]:
    """The newest data sets."""
    datasets: list[dict[str, Any]] = (await api.get("/api/datasets", limit=MOST))["datasets"]
    return datasets
