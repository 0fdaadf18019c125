"""Bodies of data sets."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from brightrun.contracts.pagination import Pagination


class DatasetView(BaseModel):
    """A data set as its owner sees it."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str
    format: str
    columns: dict[str, str]
    status: str
    training_ready: bool
    total_training_pairs: Annotated[int, Field(validation_alias="training_pairs")]
    total_tokens: Annotated[int, Field(validation_alias="tokens")]
    tokens_estimated: bool = True
    size_bytes: Annotated[int, Field(validation_alias="size")]
    sha256: str
    error_count: int
    errors_by_code: dict[str, int]
    warnings_by_code: dict[str, int]
    duplicates: int
    drop_invalid: bool
    statistics: dict[str, Any]
    validated_bytes: int
    training_sha256: str | None
    created_at: datetime
    validated_at: datetime | None


class Datasets(BaseModel):
    """A page of data sets."""

    datasets: list[DatasetView]
    pagination: Pagination


class DatasetSlice(BaseModel):
    """A part of a list by age."""

    datasets: list[DatasetView]


class IssueView(BaseModel):
    """An error or a warning, with its place: `line` 0 is the whole data set."""

    model_config = ConfigDict(from_attributes=True)

    line: int
    path: str
    code: str
    message: str


class Errors(BaseModel):
    """A page of a data set's errors. `error_count` counts all; `pagination` those that are kept with their place."""

    errors: list[IssueView]
    error_count: int
    errors_by_code: dict[str, int]
    pagination: Pagination


class Warnings(BaseModel):
    """A page of the warnings about a data set. `warnings_by_code` counts all, `pagination` those that are kept."""

    warnings: list[IssueView]
    warnings_by_code: dict[str, int]
    pagination: Pagination


class PreviewView(BaseModel):
    """Examples as they are trained; see `Preview`."""

    model_config = ConfigDict(from_attributes=True)

    examples: list[dict[str, Any]]
    next_offset: int | None
    complete: bool
