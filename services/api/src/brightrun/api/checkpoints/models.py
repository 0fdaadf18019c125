"""Copies of checkpoints."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Copy:
    """The model that holds a checkpoint's files, until it expires; not all of them are there unless it is `stored`."""

    attempt: int
    step: int
    model_id: UUID
    stored: bool
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a checkpoint can be had; None if its cluster does not answer.

    `until`: when it will be deleted; None while its run goes on and replaces it by newer ones. `model_id`: its copy.
    """

    available: bool | None
    until: datetime | None = None
    model_id: UUID | None = None
