"""What the tracker answers with."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Self
from uuid import UUID

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from brightrun.contracts.checkpoints import MeasuredCheckpoint
from brightrun.contracts.values import Money
from brightrun.tracker.models import (
    HIGHEST_STEP,
    MEASURED_AT,
    QUANTITIES,
    CostRecord,
    CostType,
    Curve,
    DailyCost,
    Floats,
    Level,
    SavedCheckpoint,
)
from brightrun.tracker.rules.curves import reading_at


class Window(BaseModel):
    """Which part of a curve is asked for, and how finely."""

    first: Annotated[int, Field(alias="from", ge=0, le=HIGHEST_STEP)] = 0
    last: Annotated[int, Field(alias="to", ge=0, le=HIGHEST_STEP)] = HIGHEST_STEP
    max_points: Annotated[int, Field(ge=10, le=10_000)] = 2000


class View(BaseModel):
    """An answer made from a row."""

    model_config = ConfigDict(from_attributes=True)


SHOWN = {name: name for name in QUANTITIES} | {
    "tokens_per_second": "throughput",
    "memory_mb": "gpu_memory_mb",
    MEASURED_AT: "timestamp",
}
"""Quantity → its name in the answer."""


def points_of(curve: Curve) -> list[dict[str, Any]]:
    """What the answer says of each point of the curve; null is not measured."""
    names = [SHOWN[name] for name in QUANTITIES]
    columns = [_values(curve.columns[name]) for name in QUANTITIES]
    columns[0] = curve.step.astype(np.int64).tolist()
    columns[-1] = [f"{moment}Z" for moment in (curve.columns[MEASURED_AT] * 1000).astype("datetime64[ms]").astype(str)]
    return [dict(zip(names, point, strict=True)) for point in zip(*columns, strict=True)]


def _values(column: Floats) -> list[Any]:
    values = column.astype(object)
    values[~np.isfinite(column)] = None
    return list(values)


class CheckpointView(MeasuredCheckpoint):
    """A state that the run saved, with the losses and accuracies that had been measured last."""

    @classmethod
    def of(cls, saved: SavedCheckpoint) -> Self:
        """From the row, with the values at the checkpoint's step."""
        return cls(
            id=f"{saved.attempt}-{saved.step}",
            attempt=saved.attempt,
            step=saved.step,
            saved_at=saved.saved_at,
            training_loss=reading_at(saved.step, saved.trained_steps, saved.training_loss),
            token_accuracy=reading_at(saved.step, saved.trained_steps, saved.token_accuracy),
            validation_loss=reading_at(saved.step, saved.validated_steps, saved.validation_loss),
            validation_token_accuracy=reading_at(saved.step, saved.validated_steps, saved.validation_token_accuracy),
        )


class CheckpointsView(View):
    """Checkpoints, the newest first."""

    checkpoints: list[CheckpointView]


class EventView(View):
    """A line of the job's log."""

    id: int
    type: str
    level: Level
    message: str
    data: dict[str, Any]
    occurred_at: datetime


class EventsView(View):
    """Lines in the order that was asked for; the next page is what comes `after` the last `id`."""

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


class CostGroupView(View):
    """What a day or a job, the `key`, cost."""

    key: str
    compute: Money
    storage: Money


class CostGroupsView(View):
    """What the days or jobs of a period cost."""

    groups: list[CostGroupView]


class Cursor(View):
    """An entry of the ledger that others follow."""

    recorded_at: datetime
    id: UUID


class CostRecordsView(View):
    """Entries of the ledger, oldest first; `next`: the entry that others follow, null after the last."""

    records: list[CostRecordView]
    next: Cursor | None

    @classmethod
    def of(cls, records: Sequence[CostRecord], page: int) -> Self:
        """A page of at most `page` entries."""
        last = records[-1] if len(records) == page else None
        return cls(
            records=[CostRecordView.model_validate(record) for record in records],
            next=Cursor.model_validate(last) if last else None,
        )


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
