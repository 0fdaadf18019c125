"""Costs of a period, from the tracker's ledger."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from brightrun.api.accounts.authentication import Reader
from brightrun.api.costs import actions, rules
from brightrun.api.costs.models import Window
from brightrun.api.costs.schemas import CostGroupView, Costs, CostsQuery
from brightrun.api.errors import Invalid
from brightrun.api.http.parameters import Clients
from brightrun.contracts.values import utc_now
from brightrun.runtime.database import Db
from brightrun.runtime.http import BoundedRoute, Envelope

router = APIRouter(prefix="/costs", tags=["costs"], route_class=BoundedRoute)
CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}


@router.get("", summary="What was spent", response_model=Envelope[Costs], responses=CSV)
async def get_costs(
    user: Reader, pool: Db, clients: Clients, query: Annotated[CostsQuery, Query()]
) -> Envelope[Costs] | Response:
    """The last week, month or year; or from `start_date` to `end_date`, both included.

    With `group_by` also by day (each has a group), type, data set or model; the last two compare completed jobs with
    their estimates. `format=csv` exports every record instead, oldest first.
    """
    window = _window_of(query)
    if query.format == "csv":
        return await _export(actions.export_costs(pool, clients, user.id, window), window)
    costs = await clients.tracker.get("/costs", user.id, **window.params())
    if query.group_by is None:
        return Envelope(data=costs)
    try:
        groups = await actions.group_costs(pool, clients, user.id, window, query.group_by)
    except ValueError as error:
        raise Invalid({"group_by": [str(error)]}) from None
    return Envelope(data=Costs(**costs, groups=[CostGroupView.model_validate(group) for group in groups]))


def _window_of(query: CostsQuery) -> Window:
    if query.start_date is None and query.end_date is None:
        return rules.last(query.period, utc_now())
    if query.start_date is None or query.end_date is None:
        missing = "start_date" if query.start_date is None else "end_date"
        raise Invalid({missing: ["give both start_date and end_date, or neither"]})
    try:
        return rules.between(query.start_date, query.end_date)
    except ValueError as error:
        raise Invalid({"start_date, end_date": [str(error)]}) from None


async def _export(pages: AsyncIterator[str], window: Window) -> Response:
    first = await anext(pages)  # its errors still have a status
    name = f"costs-{window.start:%Y-%m-%d}-{window.end:%Y-%m-%d}.csv"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_following(first, pages), media_type="text/csv", headers=headers)


async def _following(head: str, lines: AsyncIterator[str]) -> AsyncIterator[str]:
    yield head
    async for line in lines:
        yield line
