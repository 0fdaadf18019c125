"""Costs: the tracker's ledger over a period."""

from typing import Annotated

from fastapi import APIRouter, Query

from brightrun.api.accounts.authentication import Reader
from brightrun.api.costs import rules
from brightrun.api.costs.rules import Period
from brightrun.api.costs.schemas import Costs
from brightrun.api.http.errors import Invalid
from brightrun.api.http.parameters import Clients
from brightrun.contracts.values import utc_now
from brightrun.runtime.http import BoundedRoute, Envelope

router = APIRouter(prefix="/costs", tags=["costs"], route_class=BoundedRoute)
Moment = Annotated[str | None, Query(max_length=40, examples=["2026-11-24"], description="ISO 8601 date or time, UTC")]


@router.get("", summary="What was spent")
async def get_costs(
    user: Reader, clients: Clients, period: Period = "month", start_date: Moment = None, end_date: Moment = None
) -> Envelope[Costs]:
    """The last week, month or year; or from `start_date` to `end_date`, both included."""
    if start_date is None and end_date is None:
        start, end = rules.last(period, utc_now())
    elif start_date is None or end_date is None:
        missing = "start_date" if start_date is None else "end_date"
        raise Invalid({missing: ["give both start_date and end_date, or neither"]})
    else:
        try:
            start, end = rules.between(start_date, end_date)
        except ValueError as error:
            raise Invalid({"start_date, end_date": [str(error)]}) from None
    return Envelope(data=await clients.tracker.get("/costs", user.id, start=start.isoformat(), end=end.isoformat()))
