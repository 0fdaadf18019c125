"""Bodies of costs."""

from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BaseModel, PlainSerializer

from brightrun.api.http.bodies import Number, Passed
from brightrun.contracts.values import to_cents

Cents = Annotated[Decimal, AfterValidator(to_cents), PlainSerializer(float, return_type=float, when_used="json")]


class CostRecord(Passed):
    """One line of the ledger."""

    amount: Number


class DayCost(BaseModel):
    """What one day cost, in USD."""

    date: str
    amount: Number


class Costs(Passed):
    """The ledger of a period, in USD; the total to two places, all else to four."""

    total_cost: Cents
    cost_by_type: dict[str, Number]
    chart_data: list[DayCost]
    records: list[CostRecord]
