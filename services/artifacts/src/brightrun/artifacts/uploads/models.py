"""Rows of uploads in parts."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from brightrun.artifacts.leases import Lease


@dataclass(frozen=True, slots=True)
class Part:
    """A stored part of an upload; `size` in bytes."""

    id: UUID
    size: int


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that comes in parts. `size`: bytes that were announced; `busy`: it is being put together."""

    id: UUID
    user_id: UUID
    filename: str
    size: int
    status: str
    created_at: datetime
    expires_at: datetime
    dataset_id: UUID | None
    part_ids: list[UUID] | None
    fence: int
    busy: bool


@dataclass(frozen=True, slots=True)
class Assembly:
    """The right to put the `parts` of an upload together, in this order, as a data set."""

    lease: Lease
    upload: Upload
    dataset_id: UUID
    parts: tuple[Part, ...]
