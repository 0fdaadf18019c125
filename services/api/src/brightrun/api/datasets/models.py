"""Rows of the gateway's slice."""

from dataclasses import dataclass
from uuid import UUID

READY = "ready"
UNCHECKED = frozenset({"uploaded", "validating"})
"""States of a data set that may still become ready."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set as far as jobs need to know it. `sha256` is None until every line was checked."""

    id: UUID
    name: str
    format: str
    status: str
    training_pairs: int
    tokens: int
    sha256: str | None
