"""Costs: the tracker's ledger over a period."""

from typing import Annotated

from fastapi import APIRouter, Query

from brightrun.api.errors import Invalid
from brightrun.api.routes.bounded import BoundedRoute
from brightrun.api.routes.parameters import Others, Reader
from brightrun.api.rules import periods
from brightrun.api.rules.periods import Period
from brightrun.api.schemas.passed import Costs
from brightrun.contracts.values import utc_now
from brightrun.runtime.http import Envelope

router = APIRouter(prefix="/costs", tags=["costs"], route_class=BoundedRoute)

Moment = Annotated[str | None, Query(max_length=40, examples=["2026-11-24"], description="ISO 8601 date or time, UTC")]


@router.get("", summary="What was spent")
async def get_costs(
    user: Reader, others: Others, period: Period = "month", start_date: Moment = None, end_date: Moment = None
) -> Envelope[Costs]:
    """The last week, month or year; or from `start_date` to `end_date`, both included."""
    if start_date is None and end_date is None:
        start, end = periods.last(period, utc_now())
    elif start_date is None or end_date is None:
        missing = "start_date" if start_date is None else "end_date"
        raise Invalid({missing: ["give both start_date and end_date, or neither"]})
    else:
        try:
            start, end = periods.between(start_date, end_date)
        except ValueError as error:
            raise Invalid({"start_date, end_date": [str(error)]}) from None
    return Envelope(data=await others.tracker.get("/costs", user.id, start=start.isoformat(), end=end.isoformat()))
