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
MEASURED_AT = "measured_at"
QUANTITIES = (*MetricPoint.model_fields, MEASURED_AT)
"""The packed columns of a chunk, in the order in which they are written; `measured_at` in Unix seconds."""

PACKED = np.dtype("<f8")
"""How a column is packed; steps too, which are whole up to 2^53."""

HIGHEST_STEP = 2**53

NOT_MEASURED = np.array(np.nan, PACKED).tobytes()


@dataclass(frozen=True, slots=True)
class Chunk:
    """Points of one attempt: a packed column for each of `QUANTITIES`, None where nothing was measured.

    Those of one progress event, or those of the events from `seq` on that a summary keeps.
    """

    job_id: UUID
    attempt: int
    seq: int
    first_step: int
    last_step: int
    packed: tuple[bytes | None, ...]

    @property
    def length(self) -> int:
        """How many points there are."""
        return len(self.packed[0] or b"") // len(NOT_MEASURED)


@dataclass(frozen=True, slots=True)
class Summary:
    """A summary's chunk, and the last event that it stands for."""

    chunk: Chunk
    last_seq: int


@dataclass(frozen=True, slots=True)
class Span:
    """The events that a summary stands for, the steps that they are about, and how many points the summary keeps."""

    attempt: int
    seq: int
    last_seq: int
    first_step: int
    last_step: int
    kept: int


@dataclass(frozen=True, slots=True)
class Gap:
    """The events after `(attempt, seq)` and before another, both not included."""

    after: tuple[int, int]
    before: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Curve:
    """Points in the order in which they were measured: parallel arrays; a value that was not measured is NaN."""

    attempt: Integers
    columns: dict[str, Floats]

    @property
    def step(self) -> Floats:
        """The optimizer steps, which do not always rise: a resumed run measures some again."""
        return self.columns["step"]

    @property
    def losses(self) -> tuple[Floats, Floats]:
        """What a chart is about: the training loss and the validation loss."""
        return self.columns["training_loss"], self.columns["validation_loss"]


@dataclass(frozen=True, slots=True)
class SavedCheckpoint:
    """A checkpoint, with columns of the last chunks before it that hold losses: of the training, of a validation."""

    attempt: int
    step: int
    saved_at: datetime
    trained_steps: bytes | None
    training_loss: bytes | None
    token_accuracy: bytes | None
    validated_steps: bytes | None
    validation_loss: bytes | None
    validation_token_accuracy: bytes | None


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a job's event log; a job has one of each `source`. It is not logged before that which it `follows`."""

    job_id: UUID
    source: str
    type: str
    message: str
    data: dict[str, Any]
    occurred_at: datetime
    level: Level = "info"
    follows: str | None = None


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
class SpentOn:
    """What a day or a job, the `key`, cost in a period."""

    key: str
    compute: Decimal
    storage: Decimal


@dataclass(frozen=True, slots=True)
class DailyCost:
    """What one type of cost came to on one day, in UTC."""

    day: date
    cost_type: CostType
    amount: Decimal
