"""Uploads in parts: opened, filled, put together, given up."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from brightrun.artifacts.datasets.actions import announce_object, record_dataset
from brightrun.artifacts.datasets.models import Dataset, ReadingOptions
from brightrun.artifacts.deletions.queries import cancel_deletion, schedule_deletion
from brightrun.artifacts.keys import DATASETS, dataset_key, part_key, upload_prefix
from brightrun.artifacts.leases import LEASE
from brightrun.artifacts.source import StoredObject
from brightrun.artifacts.uploads import queries, rules
from brightrun.artifacts.uploads.models import Assembly, Part, Upload
from brightrun.contracts.errors import ServiceError, UploadMismatch, UploadOver, UploadTooSlow
from brightrun.contracts.values import new_id, utc_now
from brightrun.runtime.database import Connection
from brightrun.runtime.errors import NotFound


class UploadFull(ServiceError, status=409, code="upload_full"):
    """The upload has far more parts than the file that was announced; complete or cancel it."""


async def open_upload(conn: Connection, user_id: UUID, filename: str, size: int) -> Upload:
    """Begin a file that comes in parts."""
    expires_at = utc_now() + rules.LIFETIME
    return await queries.insert_upload(conn, new_id(), user_id, filename=filename, size=size, expires_at=expires_at)


async def announce_part(conn: Connection, user_id: UUID, upload_id: UUID, part_id: UUID, max_part_bytes: int) -> None:
    """Announce a part that is about to be written. Raises UploadFull, UploadOver."""
    upload = await _open_upload(conn, user_id, upload_id)
    if not rules.has_room(upload, await queries.list_parts(conn, upload_id), max_part_bytes):
        raise UploadFull
    await announce_object(conn, part_key(user_id, upload_id, part_id))


async def record_part(conn: Connection, user_id: UUID, upload_id: UUID, part: Part) -> datetime:
    """Record a part whose announced object is complete; returns when."""
    await _open_upload(conn, user_id, upload_id)
    if not await cancel_deletion(conn, DATASETS, part_key(user_id, upload_id, part.id)):
        raise UploadTooSlow
    return await queries.insert_part(conn, part.id, upload_id, part.size)


async def lease_upload(conn: Connection, upload: Upload, part_ids: Sequence[UUID]) -> Assembly:
    """Lease a locked, open upload, to put it together from these parts."""
    try:
        parts = rules.order_parts(upload, await queries.list_parts(conn, upload.id), part_ids)
    except rules.WrongParts as error:
        raise UploadMismatch(str(error)) from None
    dataset_id = new_id()
    lease = await queries.lease_upload(conn, upload.id, dataset_id, LEASE)
    await announce_object(conn, dataset_key(upload.user_id, dataset_id))
    return Assembly(lease, upload, dataset_id, tuple(parts))


async def complete_upload(conn: Connection, assembly: Assembly, stored: StoredObject) -> Dataset | None:
    """Make the upload a data set; None, and nothing is changed, if the lease was lost."""
    upload = assembly.upload
    if not await queries.save_completed(conn, assembly.lease, [part.id for part in assembly.parts]):
        return None
    await _delete_parts(conn, upload)
    return await record_dataset(
        conn, assembly.dataset_id, upload.user_id, name=upload.filename, options=ReadingOptions(), stored=stored
    )


async def release_upload(conn: Connection, assembly: Assembly) -> None:
    """End the lease of a failed completion, and delete what it wrote."""
    await queries.renew_completion(conn, assembly.lease, timedelta(0))
    await schedule_deletion(conn, DATASETS, dataset_key(assembly.upload.user_id, assembly.dataset_id))


async def cancel_upload(conn: Connection, user_id: UUID, upload_id: UUID) -> Upload:
    """Cancel an upload; a completion under way loses its lease."""
    upload = await queries.lock_upload(conn, user_id, upload_id)
    if upload and upload.status == "cancelled":
        return upload
    upload = await queries.save_cancelled(conn, (await _open_upload(conn, user_id, upload_id)).id)
    await _delete_parts(conn, upload)
    return upload


async def expire_uploads(conn: Connection) -> None:
    """Expire abandoned uploads and delete their parts; forget uploads that have been over for 30 days."""
    for upload in await queries.expire_uploads(conn):
        await _delete_parts(conn, upload)
    await queries.prune_uploads(conn, rules.RETENTION)


async def _open_upload(conn: Connection, user_id: UUID, upload_id: UUID) -> Upload:
    upload = await queries.lock_upload(conn, user_id, upload_id)
    if upload is None:
        raise NotFound
    now = utc_now()
    if not rules.is_open(upload, now):
        raise UploadOver({"status": rules.status_at(upload, now)})
    return upload


async def _delete_parts(conn: Connection, upload: Upload) -> None:
    await queries.delete_parts(conn, upload.id)
    await schedule_deletion(conn, DATASETS, upload_prefix(upload.user_id, upload.id))
