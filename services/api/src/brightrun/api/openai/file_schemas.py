"""Bodies of lists, models, files and uploads."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from fastapi import Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from brightrun.api.http.bodies import Body, example
from brightrun.api.openai import ids
from brightrun.api.openai.file_rules import FileStatus, of_dataset
from brightrun.contracts.artifacts import MAX_PARTS, MAX_UPLOAD_BYTES

T = TypeVar("T")
After = Annotated[str | None, Query(max_length=200, description="the id that the part before ended with")]


def prefixed(prefix: str) -> BeforeValidator:
    """Writes a UUID as an identifier with the prefix."""
    return BeforeValidator(lambda value: ids.write(prefix, value))


def _to_seconds(moment: datetime | str) -> int:
    return int((datetime.fromisoformat(moment) if isinstance(moment, str) else moment).timestamp())


UnixSeconds = Annotated[int, BeforeValidator(_to_seconds)]
"""From a moment, or its ISO 8601 text."""


class ListOf(BaseModel, Generic[T]):
    """A part of a list; `has_more` if items follow it."""

    object: Literal["list"] = "list"
    data: list[T]
    has_more: bool

    @classmethod
    def of(cls, found: Sequence[T], limit: int) -> Self:
        """From up to `limit + 1` items."""
        return cls(data=list(found[:limit]), has_more=len(found) > limit)


class Deleted(BaseModel):
    """A deleted object."""

    id: str
    object: str
    deleted: bool = True


class Model(BaseModel):
    """A base model of this installation, or a fine-tuned one of yours; `created` in Unix seconds."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class Models(BaseModel):
    """All models."""

    object: Literal["list"] = "list"
    data: list[Model]


UploadStatus = Literal["pending", "completed", "cancelled", "expired"]


class FileObject(BaseModel):
    """A file: a data set, or the results of a job."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    object: Literal["file"] = "file"
    bytes: int = Field(validation_alias="size")
    created_at: UnixSeconds
    filename: str
    purpose: str
    status: FileStatus
    status_details: str | None = None
    expires_at: int | None = None


class CreateUpload(Body):
    """A new upload in parts."""

    model_config = example(
        {"bytes": 1_048_576, "filename": "replies.jsonl", "mime_type": "application/jsonl", "purpose": "fine-tune"}
    )

    bytes: Annotated[int, Field(strict=True, ge=1, le=MAX_UPLOAD_BYTES)]
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
    """An upload; `file` once it is complete. From the artifacts service's response."""

    id: Annotated[str, prefixed(ids.UPLOAD)]
    object: Literal["upload"] = "upload"
    bytes: int = Field(validation_alias="size")
    created_at: UnixSeconds
    expires_at: UnixSeconds
    filename: str
    purpose: str = "fine-tune"
    status: UploadStatus
    file: Annotated[FileObject | None, BeforeValidator(lambda dataset: dataset and of_dataset(dataset))] = Field(
        validation_alias="dataset"
    )


class UploadPart(BaseModel):
    """A part of an upload, from the artifacts service's response."""

    id: Annotated[str, prefixed(ids.PART)]
    object: Literal["upload.part"] = "upload.part"
    created_at: UnixSeconds
    upload_id: Annotated[str, prefixed(ids.UPLOAD)]
