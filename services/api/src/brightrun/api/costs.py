"""Costs of a period, from the tracker's ledger."""

from datetime import datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel

from brightrun.api.accounts.authentication import Reader
from brightrun.api.errors import Invalid
from brightrun.api.http.bodies import CostRecord, Passed
from brightrun.api.http.parameters import Clients, first_moment, last_moment
from brightrun.contracts.values import Number, utc_now
from brightrun.runtime.http import BoundedRoute, Envelope

Period = Literal["week", "month", "year"]
LENGTHS: dict[Period, timedelta] = {
    "week": timedelta(days=7),
    "month": timedelta(days=30),
    "year": timedelta(days=365),
}


def last(period: Period, now: datetime) -> tuple[datetime, datetime]:
    """The period that ends now."""
    return now - LENGTHS[period], now


def between(start: str, end: str) -> tuple[datetime, datetime]:
    """From `start` to `end`, both included; a bare end date includes its whole day. Raises ValueError."""
    first, until = first_moment(start), last_moment(end)
    if first > until:
        raise ValueError("start_date is after end_date")
    return first, until


class DayCost(BaseModel):
    """What one day cost, in USD."""

    date: str
    amount: Number


class Costs(Passed):
    """The ledger of a period, in USD to four places; the total is the sum of its records."""

    total_cost: Number
    cost_by_type: dict[str, Number]
    chart_data: list[DayCost]
    records: list[CostRecord]


router = APIRouter(prefix="/costs", tags=["costs"], route_class=BoundedRoute)
Moment = Annotated[str | None, Query(max_length=40, examples=["2026-11-24"], description="ISO 8601 date or time, UTC")]


@router.get("", summary="What was spent")
async def get_costs(
    user: Reader, clients: Clients, period: Period = "month", start_date: Moment = None, end_date: Moment = None
) -> Envelope[Costs]:
    """The last week, month or year; or from `start_date` to `end_date`, both included."""
    if start_date is None and end_date is None:
        start, end = last(period, utc_now())
    elif start_date is None or end_date is None:
        missing = "start_date" if start_date is None else "end_date"
        raise Invalid({missing: ["give both start_date and end_date, or neither"]})
    else:
        try:
            start, end = between(start_date, end_date)
        except ValueError as error:
            raise Invalid({"start_date, end_date": [str(error)]}) from None
    return Envelope(data=await clients.tracker.get("/costs", user.id, start=start.isoformat(), end=end.isoformat()))
