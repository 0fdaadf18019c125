"""What the ledger holds, and what its jobs are."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal, NamedTuple
from uuid import UUID

Period = Literal["week", "month", "year"]
Grouping = Literal["day", "type", "dataset", "model"]


class Window(NamedTuple):
    """A period, both ends included."""

    start: datetime
    end: datetime

    def params(self) -> dict[str, str]:
        """As query parameters of the tracker."""
        return {"start": self.start.isoformat(), "end": self.end.isoformat()}


@dataclass(frozen=True, slots=True)
class Spent:
    """What a day or a job cost in a period, in USD."""

    key: str
    compute: Decimal
    storage: Decimal

    @property
    def amount(self) -> Decimal:
        """Both together."""
        return self.compute + self.storage


@dataclass(frozen=True, slots=True)
class JobLabels:
    """What a job is called, what it was trained on, and what it became. `model_id` None: no stored model."""

    id: UUID
    name: str
    dataset_id: UUID
    dataset_name: str
    model_id: UUID | None
    estimated_cost: Decimal
    is_completed: bool


@dataclass(frozen=True, slots=True)
class LedgerRecord:
    """One line of the ledger."""

    id: UUID
    job_id: UUID
    attempt: int
    cost_type: str
    amount: Decimal
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class CostGroup:
    """What a day, a type, a data set or a model cost. `key` None: it is none of them.

    Of the group's `jobs` those that are completed are compared: what they were estimated to cost, and cost.
    """

    key: str | None
    name: str
    compute: Decimal
    storage: Decimal
    jobs: int | None = None
    completed_jobs: int | None = None
    estimated_cost: Decimal | None = None
    actual_cost: Decimal | None = None

    @property
    def amount(self) -> Decimal:
        """Both types together."""
        return self.compute + self.storage
