"""Rows of the tracker's slice."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal, TypeAlias
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from brightrun.contracts.training import MetricPoint

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]

CostType = Literal["compute", "storage"]
Level = Literal["info", "warn", "error"]
QUANTITIES = tuple(MetricPoint.model_fields)
"""The packed columns of a chunk, in the order in which they are written."""

PACKED = np.dtype("<f8")
"""How a column is packed; steps too, which are whole up to 2^53."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """The points of one progress event: a packed column for each of `QUANTITIES`, None where nothing was measured."""

    job_id: UUID
    attempt: int
    seq: int
    first_step: int
    last_step: int
    packed: tuple[bytes | None, ...]


@dataclass(frozen=True, slots=True)
class Curve:
    """What decides which of a job's points a chart shows: parallel arrays, chunk by chunk.

    `seq` and `offset` say in which chunk a point lies and where in it. A loss that was not measured is NaN.
    """

    attempt: Integers
    seq: Integers
    offset: Integers
    step: Floats
    training_loss: Floats
    validation_loss: Floats


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a job's event log; a job has one of each `source`."""

    job_id: UUID
    source: str
    type: str
    message: str
    data: dict[str, Any]
    occurred_at: datetime
    level: Level = "info"


@dataclass(frozen=True, slots=True)
class LoggedEntry:
    """An entry with its place in the log: a later one has a higher `id`."""

    id: int
    type: str
    level: Level
    message: str
    data: dict[str, Any]
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Cost:
    """An amount in US dollars, to four places, that a job owes. `attempt` 0: of the job as a whole."""

    job_id: UUID
    user_id: UUID
    attempt: int
    cost_type: CostType
    amount: Decimal
    recorded_at: datetime
    details: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CostRecord:
    """A cost as the ledger holds it."""

    id: UUID
    job_id: UUID
    attempt: int
    cost_type: CostType
    amount: Decimal
    recorded_at: datetime
    details: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DailyCost:
    """What one type of cost came to on one day, in UTC."""

    day: date
    cost_type: CostType
    amount: Decimal
