"""What the tracker answers with."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from brightrun.contracts.values import Money
from brightrun.tracker.models import CostRecord, CostType, DailyCost, Level

HIGHEST_STEP = 2**53


class Window(BaseModel):
    """Which part of a curve is asked for, and how finely."""

    first: Annotated[int, Field(alias="from", ge=0, le=HIGHEST_STEP)] = 0
    last: Annotated[int, Field(alias="to", ge=0, le=HIGHEST_STEP)] = HIGHEST_STEP
    max_points: Annotated[int, Field(ge=10, le=10_000)] = 2000


class View(BaseModel):
    """An answer made from a row."""

    model_config = ConfigDict(from_attributes=True)


class PointView(View):
    """What was measured at one optimizer step; null is not measured."""

    step: int
    epoch: float
    training_loss: float | None
    validation_loss: float | None
    learning_rate: float | None
    gradient_norm: float | None
    token_accuracy: float | None
    throughput: float | None = Field(validation_alias="tokens_per_second", description="tokens per second")
    gpu_memory_mb: float | None = Field(validation_alias="memory_mb")
    gpu_utilization: float | None


class MetricsView(View):
    """Points in the order of their steps."""

    points: list[PointView]


class EventView(View):
    """A line of the job's log."""

    id: int
    type: str
    level: Level
    message: str
    data: dict[str, Any]
    occurred_at: datetime


class EventsView(View):
    """Lines in the order in which they were written; ask for those after the last `id`."""

    events: list[EventView]


class CostRecordView(View):
    """One entry of the ledger."""

    id: UUID
    job_id: UUID
    attempt: int
    cost_type: CostType
    amount: Money
    recorded_at: datetime
    details: dict[str, Any]


class JobCostsView(View):
    """A job's entries, oldest first."""

    cost_records: list[CostRecordView]


class DayView(View):
    """What a day came to, in UTC."""

    date: date
    amount: Money


class CostsView(View):
    """A period's costs. The sums cover all of it; `records` are the newest, `truncated` where there are more."""

    total_cost: Money
    cost_by_type: dict[str, Money]
    chart_data: list[DayView]
    records: list[CostRecordView]
    truncated: bool

    @classmethod
    def of(cls, days: Sequence[DailyCost], newest: Sequence[CostRecord], limit: int) -> Self:
        """From the daily sums and the newest records, one more than `limit` of them where there are more."""
        by_type: dict[str, Decimal] = defaultdict(Decimal)
        by_day: dict[date, Decimal] = defaultdict(Decimal)
        for day in days:
            by_type[day.cost_type] += day.amount
            by_day[day.day] += day.amount
        return cls(
            total_cost=sum(by_type.values(), Decimal()),
            cost_by_type=by_type,
            chart_data=[DayView(date=day, amount=amount) for day, amount in by_day.items()],
            records=[CostRecordView.model_validate(record) for record in newest[:limit]],
            truncated=len(newest) > limit,
        )
