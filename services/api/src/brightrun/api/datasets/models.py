"""Data sets."""

from dataclasses import dataclass
from uuid import UUID

from brightrun.contracts.values import Value

READY = "ready"
UNCHECKED = frozenset({"uploaded", "validating"})
"""States of a data set that may still become ready."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set as jobs need it. `sha256` is None until every line is validated."""

    id: UUID
    name: str
    format: str
    status: str
    training_pairs: int
    tokens: int
    sha256: str | None


class PendingDataset(Value):
    """The data set of a job that awaits its validation: its numbers are not known."""

    dataset_id: UUID
    name: str
    format: str
    training_pairs: int = 0
    tokens: int = 0
