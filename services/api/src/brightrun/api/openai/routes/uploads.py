"""HTTP routes of uploads in parts."""

from contextlib import aclosing
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.requests import ClientDisconnect

from brightrun.api.accounts.authentication import Trainer
from brightrun.api.errors import BrokenForm, FileTooLarge, Invalid, Unsupported, UploadNotFound
from brightrun.api.http.error_responses import error_responses
from brightrun.api.http.parameters import Clients
from brightrun.api.openai import ids
from brightrun.api.openai.file_rules import NO_EXPIRY, check_purpose, clean_name
from brightrun.api.openai.file_schemas import CompleteUpload, CreateUpload, UploadObject, UploadPart
from brightrun.api.openai.forms import Form
from brightrun.contracts.artifacts import MAX_PART_BYTES
from brightrun.contracts.errors import (
    TooManyUploads,
    UploadAborted,
    UploadMismatch,
    UploadOver,
    UploadStalled,
    UploadTooSlow,
)
from brightrun.runtime.http import BoundedRoute

router = APIRouter(prefix="/uploads", tags=["uploads"], route_class=BoundedRoute)
parts = APIRouter(prefix="/uploads", tags=["uploads"])

COMPLETION_SECONDS = 600.0
"""Time to assemble the parts; the `openai` package waits as long."""
FORM = {"type": "object", "required": ["data"], "properties": {"data": {"type": "string", "format": "binary"}}}


@router.post("", summary="Begin a file that comes in parts", responses=error_responses(Unsupported))
async def create_upload(body: CreateUpload, user: Trainer, clients: Clients) -> UploadObject:
    """Up to 8 GiB. It expires after an hour."""
    if body.expires_after is not None:
        raise Unsupported({"expires_after": [NO_EXPIRY]})
    if problems := check_purpose(body.purpose):
        raise Invalid(problems)
    request = {"filename": clean_name(body.filename), "size": body.bytes}
    return UploadObject.model_validate(await clients.artifacts.send("POST", "/uploads", user.id, json=request))


@parts.post(
    "/{upload_id}/parts",
    summary="Add a part",
    responses=error_responses(
        BrokenForm,
        TooManyUploads,
        UploadAborted,
        UploadNotFound,
        UploadStalled,
        UploadTooSlow,
        UploadOver,
        FileTooLarge,
    ),
    openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": FORM}}}},
)
async def create_part(upload_id: str, request: Request, user: Trainer, clients: Clients) -> UploadPart:
    """Up to 64 MiB. Parts may be sent in any order and concurrently."""
    path = f"/uploads/{_read(upload_id)}/parts"
    body = clients.artifacts.uploads.limited(user.id, request.stream())
    form = Form(request.headers.get("content-type", ""), body, "data", MAX_PART_BYTES)
    try:
        async with aclosing(body):
            if not await form.find_file():
                raise Invalid({"data": ["Field required"]})
            return UploadPart.model_validate(await clients.artifacts.relay(path, user.id, form.read_file()))
    except ClientDisconnect:
        raise UploadAborted from None


@router.post(
    "/{upload_id}/complete",
    summary="Make a file of the parts",
    responses=error_responses(UploadNotFound, UploadMismatch, UploadOver),
)
async def complete_upload(upload_id: str, body: CompleteUpload, user: Trainer, clients: Clients) -> UploadObject:
    """The parts in the order of `part_ids`. Idempotent."""
    path = f"/uploads/{_read(upload_id)}/complete"
    part_ids = [ids.read(ids.PART, part_id) for part_id in body.part_ids]
    if problems := {
        f"part_ids.{place}": ["no identifier of a part"] for place, part_id in enumerate(part_ids) if part_id is None
    }:
        raise Invalid(problems)
    request_body: dict[str, Any] = {"part_ids": [str(part_id) for part_id in part_ids]}
    if body.md5:
        request_body["md5"] = body.md5.lower()
    upload = await clients.artifacts.send("POST", path, user.id, json=request_body, timeout=COMPLETION_SECONDS)
    return UploadObject.model_validate(upload)


@router.post("/{upload_id}/cancel", summary="Give a file up", responses=error_responses(UploadNotFound, UploadOver))
async def cancel_upload(upload_id: str, user: Trainer, clients: Clients) -> UploadObject:
    """Its parts are deleted; no more can be added."""
    return UploadObject.model_validate(
        await clients.artifacts.send("POST", f"/uploads/{_read(upload_id)}/cancel", user.id)
    )


def _read(upload_id: str) -> UUID:
    return ids.require(ids.UPLOAD, upload_id, UploadNotFound)
