"""Bodies of costs, in USD to four places."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from brightrun.api.costs.models import Grouping, Period
from brightrun.api.http.bodies import CostRecord, Passed
from brightrun.contracts.values import Number

Moment = Annotated[str | None, Field(max_length=40, examples=["2026-11-24"], description="ISO 8601 date or time, UTC")]


class CostsQuery(BaseModel):
    """Which costs, and how."""

    period: Period = "month"
    start_date: Moment = None
    end_date: Moment = None
    group_by: Grouping | None = None
    format: Literal["json", "csv"] = "json"


class DayCost(BaseModel):
    """What one day cost, in USD."""

    date: str
    amount: Number


class CostGroupView(BaseModel):
    """What a day, a type, a data set or a model cost. Of the jobs, those that are completed are compared."""

    model_config = ConfigDict(from_attributes=True)

    key: str | None = Field(description="the date, the type or the id; null where there is none, or none any more")
    name: str
    amount: Number
    compute: Number
    storage: Number
    jobs: int | None = Field(description="of a data set or model: its jobs with costs in the period")
    completed_jobs: int | None
    estimated_cost: Number | None = Field(description="what the completed jobs were estimated to cost")
    actual_cost: Number | None = Field(description="what the completed jobs cost in the period")


class Costs(Passed):
    """The ledger of a period, in USD to four places; the total is the sum of its records.

    `groups`: with `group_by` only; they add up to the total, days in order, others the dearest first.
    """

    total_cost: Number
    cost_by_type: dict[str, Number]
    chart_data: list[DayCost]
    records: list[CostRecord]
    groups: list[CostGroupView] | None = Field(None, exclude_if=lambda groups: groups is None)
