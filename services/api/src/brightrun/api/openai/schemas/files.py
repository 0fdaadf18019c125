"""Bodies of files and uploads."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, StringConstraints

from brightrun.api.http.bodies import Body, example
from brightrun.api.openai.rules import ids
from brightrun.api.openai.rules.files import File, FileStatus, of_dataset
from brightrun.contracts.artifacts import MAX_PARTS, MAX_UPLOAD_BYTES

UploadStatus = Literal["pending", "completed", "cancelled", "expired"]


class FileObject(BaseModel):
    """A file: a data set, or the results of a job."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    filename: str
    purpose: str
    status: FileStatus
    status_details: str | None = None
    expires_at: int | None = None

    @classmethod
    def of(cls, file: File) -> Self:
        """From a file."""
        return cls(
            id=file.id,
            bytes=file.size,
            created_at=int(file.created_at.timestamp()),
            filename=file.filename,
            purpose=file.purpose,
            status=file.status,
            status_details=file.status_details,
        )


class CreateUpload(Body):
    """A new upload in parts."""

    model_config = example(
        {"bytes": 1_048_576, "filename": "replies.jsonl", "mime_type": "application/jsonl", "purpose": "fine-tune"}
    )

    bytes: Annotated[int, Field(ge=1, le=MAX_UPLOAD_BYTES)]
    filename: Annotated[str, StringConstraints(min_length=1, max_length=1000)]
    mime_type: Annotated[str, StringConstraints(max_length=200)]
    purpose: Annotated[str, StringConstraints(max_length=100)]
    expires_after: Any = None


class CompleteUpload(Body):
    """The parts of the file in order, and its MD5 digest if known."""

    model_config = example({"part_ids": ["part_01a20f5d0c5e700080005d1c2a9b7e10"]})

    part_ids: Annotated[list[Annotated[str, Field(max_length=100)]], Field(min_length=1, max_length=MAX_PARTS)]
    md5: Annotated[str, Field(pattern="^[0-9a-fA-F]{32}$")] | None = None


class UploadObject(BaseModel):
    """An upload; `file` once it is complete."""

    id: str
    object: Literal["upload"] = "upload"
    bytes: int
    created_at: int
    expires_at: int
    filename: str
    purpose: str = "fine-tune"
    status: UploadStatus
    file: FileObject | None = None

    @classmethod
    def of(cls, upload: dict[str, Any]) -> Self:
        """From the artifacts service's response."""
        dataset = upload["dataset"]
        return cls(
            id=ids.write(ids.UPLOAD, upload["id"]),
            bytes=upload["size"],
            created_at=_seconds(upload["created_at"]),
            expires_at=_seconds(upload["expires_at"]),
            filename=upload["filename"],
            status=upload["status"],
            file=FileObject.of(of_dataset(dataset)) if dataset else None,
        )


class UploadPart(BaseModel):
    """A part of an upload."""

    id: str
    object: Literal["upload.part"] = "upload.part"
    created_at: int
    upload_id: str

    @classmethod
    def of(cls, part: dict[str, Any]) -> Self:
        """From the artifacts service's response."""
        return cls(
            id=ids.write(ids.PART, part["id"]),
            created_at=_seconds(part["created_at"]),
            upload_id=ids.write(ids.UPLOAD, part["upload_id"]),
        )


def _seconds(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp())
