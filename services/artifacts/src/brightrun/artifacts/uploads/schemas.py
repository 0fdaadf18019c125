"""Bodies of uploads in parts."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from brightrun.artifacts.datasets.models import Dataset
from brightrun.artifacts.datasets.schemas import DatasetView
from brightrun.artifacts.uploads.models import Upload
from brightrun.artifacts.uploads.rules import status_at
from brightrun.contracts.artifacts import MAX_PARTS, MAX_UPLOAD_BYTES, Name


class OpenUpload(BaseModel):
    """A file that is to come in parts: its name and its size in bytes."""

    model_config = ConfigDict(extra="forbid")

    filename: Name
    size: Annotated[int, Field(ge=1, le=MAX_UPLOAD_BYTES)]


class CompleteUpload(BaseModel):
    """The parts of a file in their order, and its digest where the user knows it."""

    model_config = ConfigDict(extra="forbid")

    part_ids: Annotated[list[UUID], Field(min_length=1, max_length=MAX_PARTS)]
    md5: Annotated[str, Field(pattern="^[0-9a-f]{32}$")] | None = None


class UploadView(BaseModel):
    """An upload as its owner sees it; `dataset` is what it became."""

    id: UUID
    filename: str
    size: int
    status: str
    created_at: datetime
    expires_at: datetime
    dataset: DatasetView | None = None

    @classmethod
    def of(cls, upload: Upload, now: datetime, dataset: Dataset | None = None) -> Self:
        """The view of a row at a moment."""
        return cls(
            id=upload.id,
            filename=upload.filename,
            size=upload.size,
            status=status_at(upload, now),
            created_at=upload.created_at,
            expires_at=upload.expires_at,
            dataset=dataset and DatasetView.model_validate(dataset),
        )


class PartView(BaseModel):
    """A part of an upload."""

    id: UUID
    upload_id: UUID
    size: int
    created_at: datetime
