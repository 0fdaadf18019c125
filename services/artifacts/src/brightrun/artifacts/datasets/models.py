"""Rows of data sets, and the report of a validation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from brightrun.artifacts.leases import Lease


@dataclass(frozen=True, slots=True)
class ReadingOptions:
    """What the user says about a file: its format, or None to detect it, and the columns that have other names.

    `drop_invalid`: examples with errors are left out.
    """

    format: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    drop_invalid: bool = False


@dataclass(frozen=True, slots=True)
class Dataset:
    """An uploaded data set and the result of its validation.

    `requested_format`: the user named it. `examples_key`: where the examples lie if they had to be converted for
    trainers. `training_sha256`: digest of the file that trainers read; None unless the data set is ready.
    """

    id: UUID
    user_id: UUID
    name: str
    format: str
    requested_format: str | None
    columns: dict[str, str]
    drop_invalid: bool
    status: str
    size: int
    sha256: str
    training_pairs: int
    tokens: int
    duplicates: int
    error_count: int
    errors_by_code: dict[str, int]
    warnings_by_code: dict[str, int]
    validated_bytes: int
    examples_key: str | None
    training_sha256: str | None
    statistics: dict[str, Any]
    created_at: datetime
    validated_at: datetime | None
    fence: int

    @property
    def training_ready(self) -> bool:
        """Whether jobs may train on it."""
        return self.status == "ready"

    @property
    def options(self) -> ReadingOptions:
        """What the user said about the file."""
        return ReadingOptions(self.requested_format, self.columns, self.drop_invalid)

    @property
    def lease(self) -> Lease:
        """The lease under which this row was read."""
        return Lease(self.id, self.fence)


@dataclass(frozen=True, slots=True)
class Issue:
    """An error or a warning: `line` counts from 1 (0: the whole data set), `path` is a JSON path within the line."""

    line: int
    path: str
    code: str
    message: str
    severity: str = "error"


@dataclass(frozen=True, slots=True)
class Report:
    """What a validation found. `issues` are the first ones; `needs_conversion`: trainers cannot read the file as
    it is. `unreadable`: it was not read to its end.
    """

    format: str
    training_pairs: int
    tokens: int
    duplicates: int
    statistics: dict[str, Any]
    errors_by_code: dict[str, int]
    warnings_by_code: dict[str, int]
    issues: tuple[Issue, ...]
    needs_conversion: bool
    unreadable: bool

    def is_ready(self, options: ReadingOptions) -> bool:
        """Whether jobs may train on the data set: without errors, or on what is left without invalid examples."""
        if not options.drop_invalid:
            return not self.error_count
        return not (self.unreadable or "too_few_examples" in self.errors_by_code)

    @property
    def error_count(self) -> int:
        """How many errors there are in all."""
        return sum(self.errors_by_code.values())
