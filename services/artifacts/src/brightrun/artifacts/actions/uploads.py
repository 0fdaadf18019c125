"""Uploads in parts: opened, filled, put together, given up."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from brightrun.artifacts.actions.datasets import announce_object, record_dataset
from brightrun.artifacts.errors import UploadFull, UploadTooSlow
from brightrun.artifacts.leases import LEASE
from brightrun.artifacts.models import Assembly, Dataset, Part, StoredObject, Upload
from brightrun.artifacts.queries import discards, uploads
from brightrun.artifacts.rules import uploads as rules
from brightrun.artifacts.rules.chat_format import OPENAI_CHAT
from brightrun.artifacts.rules.files import DATASETS, dataset_key, part_key, upload_prefix
from brightrun.contracts.errors import UploadMismatch, UploadOver
from brightrun.contracts.values import new_id, utc_now
from brightrun.runtime.database import Connection
from brightrun.runtime.errors import NotFound


async def open_upload(conn: Connection, user_id: UUID, filename: str, size: int) -> Upload:
    """Begin a file that comes in parts."""
    expires_at = utc_now() + rules.LIFETIME
    return await uploads.insert_upload(conn, new_id(), user_id, filename=filename, size=size, expires_at=expires_at)


async def expect_part(conn: Connection, user_id: UUID, upload_id: UUID, part_id: UUID) -> None:
    """Note that a part is about to be written; refuses one that is not wanted."""
    upload = await _open_upload(conn, user_id, upload_id)
    if not rules.has_room(upload, await uploads.list_parts(conn, upload_id)):
        raise UploadFull
    await announce_object(conn, part_key(user_id, upload_id, part_id))


async def record_part(conn: Connection, user_id: UUID, upload_id: UUID, part: Part) -> datetime:
    """Record a part whose announced object is complete; returns when."""
    await _open_upload(conn, user_id, upload_id)
    if not await discards.keep(conn, DATASETS, part_key(user_id, upload_id, part.id)):
        raise UploadTooSlow
    return await uploads.insert_part(conn, part.id, upload_id, part.size)


async def lease_upload(conn: Connection, upload: Upload, part_ids: Sequence[UUID]) -> Assembly:
    """Lease a locked, open upload, to put it together from these parts."""
    try:
        parts = rules.arrange(upload, await uploads.list_parts(conn, upload.id), part_ids)
    except rules.WrongParts as problem:
        raise UploadMismatch(str(problem)) from None
    dataset_id = new_id()
    lease = await uploads.lease_upload(conn, upload.id, dataset_id, LEASE)
    await announce_object(conn, dataset_key(upload.user_id, dataset_id))
    return Assembly(lease, upload, dataset_id, tuple(parts))


async def complete_upload(conn: Connection, assembly: Assembly, stored: StoredObject) -> Dataset | None:
    """Make the upload a data set; None, and nothing is changed, if the lease was lost."""
    upload = assembly.upload
    if not await uploads.save_completed(conn, assembly.lease, [part.id for part in assembly.parts]):
        return None
    await _drop_parts(conn, upload)
    return await record_dataset(
        conn, assembly.dataset_id, upload.user_id, name=upload.filename, file_format=OPENAI_CHAT, stored=stored
    )


async def release_upload(conn: Connection, assembly: Assembly) -> None:
    """Let a failed completion be repeated at once; what it wrote goes."""
    await uploads.renew_completion(conn, assembly.lease, timedelta(0))
    await discards.discard(conn, DATASETS, dataset_key(assembly.upload.user_id, assembly.dataset_id))


async def cancel_upload(conn: Connection, user_id: UUID, upload_id: UUID) -> Upload:
    """End an upload that is not wanted any more, once; whoever puts it together just then has lost it."""
    upload = await uploads.lock_upload(conn, user_id, upload_id)
    if upload and upload.status == "cancelled":
        return upload
    upload = await uploads.save_cancelled(conn, (await _open_upload(conn, user_id, upload_id)).id)
    await _drop_parts(conn, upload)
    return upload


async def sweep_uploads(conn: Connection) -> None:
    """End abandoned uploads, whose parts go soon after; forget those that have been over for long."""
    for upload in await uploads.expire_uploads(conn):
        await _drop_parts(conn, upload)
    await uploads.prune_uploads(conn, rules.KEPT)


async def _open_upload(conn: Connection, user_id: UUID, upload_id: UUID) -> Upload:
    upload = await uploads.lock_upload(conn, user_id, upload_id)
    if upload is None:
        raise NotFound
    now = utc_now()
    if not rules.is_open(upload, now):
        raise UploadOver({"status": rules.status_at(upload, now)})
    return upload


async def _drop_parts(conn: Connection, upload: Upload) -> None:
    await uploads.delete_parts(conn, upload.id)
    await discards.discard(conn, DATASETS, upload_prefix(upload.user_id, upload.id))
