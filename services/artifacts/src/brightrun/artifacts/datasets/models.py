"""Rows of data sets, and the report of a validation."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from brightrun.artifacts.leases import Lease


@dataclass(frozen=True, slots=True)
class Dataset:
    """An uploaded data set and the result of its validation."""

    id: UUID
    user_id: UUID
    name: str
    format: str
    status: str
    size: int
    sha256: str
    training_pairs: int
    tokens: int
    duplicates: int
    error_count: int
    errors_by_code: dict[str, int]
    created_at: datetime
    validated_at: datetime | None
    fence: int

    @property
    def training_ready(self) -> bool:
        """Whether jobs may train on it."""
        return self.status == "ready"

    @property
    def lease(self) -> Lease:
        """The lease under which this row was read."""
        return Lease(self.id, self.fence)


@dataclass(frozen=True, slots=True)
class Issue:
    """One error of a data set: `line` counts from 1 (0: the whole data set), `path` is a JSON path within the line."""

    line: int
    path: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a validation found. `issues` are the first of the `error_count` errors."""

    format: str
    training_pairs: int
    tokens: int
    duplicates: int
    errors_by_code: dict[str, int]
    issues: tuple[Issue, ...]

    @property
    def error_count(self) -> int:
        """How many errors there are in all."""
        return sum(self.errors_by_code.values())
