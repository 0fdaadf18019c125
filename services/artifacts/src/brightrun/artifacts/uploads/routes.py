"""Uploads in parts: open, add, complete, cancel."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial
from uuid import UUID

import structlog
from fastapi import APIRouter, Request
from starlette.requests import ClientDisconnect

from brightrun.artifacts.datasets import queries as datasets
from brightrun.artifacts.datasets.models import Dataset
from brightrun.artifacts.dependencies import LimitsOf, Store
from brightrun.artifacts.keys import DATASETS, dataset_key, part_key
from brightrun.artifacts.leases import LEASE, LeaseLost, while_leased
from brightrun.artifacts.source import StoredObject
from brightrun.artifacts.storage import ObjectStore
from brightrun.artifacts.uploads import actions, queries
from brightrun.artifacts.uploads.models import Assembly, Part, Upload
from brightrun.artifacts.uploads.rules import status_at
from brightrun.artifacts.uploads.schemas import CompleteUpload, OpenUpload, PartView, UploadView
from brightrun.contracts.artifacts import MAX_UPLOAD_BYTES
from brightrun.contracts.errors import UploadAborted, UploadMismatch, UploadOver
from brightrun.contracts.values import new_id, utc_now
from brightrun.runtime.database import Db, Pool, transaction
from brightrun.runtime.errors import NotFound
from brightrun.runtime.failpoints import failpoint
from brightrun.runtime.http import Envelope
from brightrun.runtime.tokens import CallerOf

log = structlog.get_logger()
router = APIRouter(prefix="/uploads")

POLL_SECONDS = 0.5


@router.post("", status_code=201)
async def open_upload(body: OpenUpload, caller: CallerOf, pool: Db) -> Envelope[UploadView]:
    """Open an upload of up to 8 GiB; it expires after an hour."""
    async with transaction(pool) as conn:
        upload = await actions.open_upload(conn, caller.user, body.filename, body.size)
    return Envelope(data=UploadView.of(upload, utc_now()))


@router.post("/{upload_id}/parts", status_code=201)
async def add_part(
    *, upload_id: UUID, request: Request, caller: CallerOf, pool: Db, store: Store, limits: LimitsOf
) -> Envelope[PartView]:
    """Accept a part of up to 64 MiB as the request's body; parts may come in any order and concurrently."""
    part_id = new_id()
    async with transaction(pool) as conn:
        await actions.announce_part(conn, caller.user, upload_id, part_id, limits.part_bytes)
    key = part_key(caller.user, upload_id, part_id)
    try:
        stored = await store.put(DATASETS, key, request.stream(), limits.part_bytes, from_user=True)
    except ClientDisconnect:
        raise UploadAborted from None
    try:
        async with transaction(pool) as conn:
            created_at = await actions.record_part(conn, caller.user, upload_id, Part(part_id, stored.size))
    except BaseException:
        await store.remove(DATASETS, key)
        raise
    return Envelope(data=PartView(id=part_id, upload_id=upload_id, size=stored.size, created_at=created_at))


@router.post("/{upload_id}/complete")
async def complete_upload(
    *, upload_id: UUID, body: CompleteUpload, caller: CallerOf, pool: Db, store: Store
) -> Envelope[UploadView]:
    """Assemble the parts as a data set. A repeated call waits for the first, and returns the same data set."""
    while True:
        async with transaction(pool) as conn:
            upload = await queries.lock_upload(conn, caller.user, upload_id)
            if upload is None:
                raise NotFound
            if upload.status == "pending" and not upload.busy:
                if status_at(upload, utc_now()) == "expired":
                    raise UploadOver({"status": "expired"})
                assembly = await actions.lease_upload(conn, upload, body.part_ids)
                break
        if upload.status != "pending":
            return await _repeat(pool, upload, body.part_ids)
        await asyncio.sleep(POLL_SECONDS)
    dataset = await _assemble(pool, store, assembly, body.md5)
    if dataset is None:
        log.warning("upload.lease_lost", upload_id=str(upload_id))
        raise UploadOver({"status": "cancelled or taken over; ask again"})
    log.info("upload.completed", upload_id=str(upload_id), dataset_id=str(dataset.id), parts=len(assembly.parts))
    return Envelope(data=UploadView.of(replace(upload, status="completed"), utc_now(), dataset))


@router.post("/{upload_id}/cancel")
async def cancel_upload(upload_id: UUID, caller: CallerOf, pool: Db) -> Envelope[UploadView]:
    """Cancel the upload; its parts are deleted."""
    async with transaction(pool) as conn:
        upload = await actions.cancel_upload(conn, caller.user, upload_id)
    return Envelope(data=UploadView.of(upload, utc_now()))


async def _repeat(pool: Pool, upload: Upload, part_ids: Sequence[UUID]) -> Envelope[UploadView]:
    """The response of an earlier completion with the same parts in the same order."""
    if upload.status != "completed" or upload.part_ids != list(part_ids) or upload.dataset_id is None:
        raise UploadOver({"status": upload.status})
    dataset = await datasets.find_dataset(pool, upload.user_id, upload.dataset_id)
    return Envelope(data=UploadView.of(upload, utc_now(), dataset))


async def _assemble(pool: Pool, store: ObjectStore, assembly: Assembly, md5: str | None) -> Dataset | None:
    """The data set of the parts; None if the lease is lost. After a failure the upload is open again."""
    try:
        renew = partial(queries.renew_completion, pool, assembly.lease, LEASE)
        stored = await while_leased(write_parts(store, assembly, md5), renew)
        failpoint("upload.put_together")
        async with transaction(pool) as conn:
            return await actions.complete_upload(conn, assembly, stored)
    except LeaseLost:
        return None
    except BaseException:
        async with transaction(pool) as conn:
            await actions.release_upload(conn, assembly)
        raise


async def write_parts(store: ObjectStore, assembly: Assembly, md5: str | None) -> StoredObject:
    """Write the parts as one object; raises UploadMismatch if it has another MD5."""
    upload, digest = assembly.upload, hashlib.md5(usedforsecurity=False)

    async def content() -> AsyncIterator[bytes]:
        for part in assembly.parts:
            async with store.open(DATASETS, part_key(upload.user_id, upload.id, part.id)) as pieces:
                async for piece in pieces:
                    digest.update(piece)
                    yield piece
        if md5 is not None and digest.hexdigest() != md5:
            raise UploadMismatch(f"the file has the MD5 {digest.hexdigest()}, {md5} was announced")

    key = dataset_key(upload.user_id, assembly.dataset_id)
    return await store.put(DATASETS, key, content(), MAX_UPLOAD_BYTES)
