"""Bodies of data sets."""

from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import BaseModel

from brightrun.artifacts.datasets.models import Dataset, Issue
from brightrun.contracts.pagination import Pagination


class DatasetView(BaseModel):
    """A data set as its owner sees it."""

    id: UUID
    name: str
    format: str
    status: str
    training_ready: bool
    total_training_pairs: int
    total_tokens: int
    tokens_estimated: bool = True
    size_bytes: int
    sha256: str
    error_count: int
    errors_by_code: dict[str, int]
    duplicates: int
    created_at: datetime
    validated_at: datetime | None

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """The view of a row."""
        return cls(
            id=dataset.id,
            name=dataset.name,
            format=dataset.format,
            status=dataset.status,
            training_ready=dataset.status == "ready",
            total_training_pairs=dataset.training_pairs,
            total_tokens=dataset.tokens,
            size_bytes=dataset.size,
            sha256=dataset.sha256,
            error_count=dataset.error_count,
            errors_by_code=dataset.errors_by_code,
            duplicates=dataset.duplicates,
            created_at=dataset.created_at,
            validated_at=dataset.validated_at,
        )


class Datasets(BaseModel):
    """A page of data sets."""

    datasets: list[DatasetView]
    pagination: Pagination


class DatasetSlice(BaseModel):
    """A part of a list by age."""

    datasets: list[DatasetView]


class Errors(BaseModel):
    """A page of a data set's errors. `error_count` counts all; `pagination` those that are kept with their place."""

    errors: list[Issue]
    error_count: int
    errors_by_code: dict[str, int]
    pagination: Pagination
