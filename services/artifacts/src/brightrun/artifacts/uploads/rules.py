"""Which parts an upload accepts, and which parts make up its file."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from brightrun.artifacts.uploads.models import Part, Upload
from brightrun.contracts.artifacts import MAX_PARTS

LIFETIME = timedelta(hours=1)
RETENTION = timedelta(days=30)
"""How long an upload that is over can still be read."""


class WrongParts(ValueError):
    """The parts do not make up the file that was announced."""


def is_open(upload: Upload, now: datetime) -> bool:
    """Whether parts can be added to the upload, and put together."""
    return upload.status == "pending" and now < upload.expires_at


def status_at(upload: Upload, now: datetime) -> str:
    """The status as shown: an upload is expired from that moment on, before the loop marks it."""
    return "expired" if upload.status == "pending" and now >= upload.expires_at and not upload.busy else upload.status


def has_room(upload: Upload, parts: Sequence[Part], max_part_bytes: int) -> bool:
    """Whether the upload accepts another part. A part sent again after a lost response leaves an unused one behind."""
    return len(parts) < MAX_PARTS and sum(part.size for part in parts) <= 2 * upload.size + max_part_bytes


def order_parts(upload: Upload, parts: Sequence[Part], part_ids: Sequence[UUID]) -> list[Part]:
    """The parts in the order of `part_ids`. Raises WrongParts unless they have the announced size together."""
    known = {part.id: part for part in parts}
    if unknown := [part_id for part_id in part_ids if part_id not in known]:
        raise WrongParts(f"{len(unknown)} of the parts do not belong to this upload, such as part_{unknown[0].hex}")
    if len(set(part_ids)) < len(part_ids):
        raise WrongParts("a part is named twice")
    size = sum(known[part_id].size for part_id in part_ids)
    if size != upload.size:
        raise WrongParts(f"the parts have {size} bytes together, {upload.size} were announced")
    return [known[part_id] for part_id in part_ids]
