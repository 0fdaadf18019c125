"""Small value types that every contract is made of."""

from datetime import UTC, datetime
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer
from uuid_utils.compat import uuid7

FOUR_PLACES = Decimal("0.0001")
TWO_PLACES = Decimal("0.01")


def to_money(amount: Decimal) -> Decimal:
    """Round to the four places that are stored, half up as invoices do."""
    return amount.quantize(FOUR_PLACES, ROUND_HALF_UP)


def to_cents(amount: Decimal) -> Decimal:
    """Round to the two places that are shown, half up."""
    return amount.quantize(TWO_PLACES, ROUND_HALF_UP)


Money = Annotated[
    Decimal,
    Field(ge=0, max_digits=14, allow_inf_nan=False),
    AfterValidator(to_money),
    PlainSerializer(lambda amount: f"{amount:.4f}", return_type=str, when_used="json"),
]
"""US dollars with four places; a string in JSON, so that no reader turns it into a float."""


Number = Annotated[Decimal, PlainSerializer(float, return_type=float, when_used="json")]
"""A decimal in code, a number in JSON: amounts of the public API."""


def _require_number(value: Any) -> Any:
    if isinstance(value, bool | str):
        raise ValueError("Input should be a valid number")
    return value


def strict_number(**bounds: Any) -> BeforeValidator:
    """Accepts JSON numbers only, not texts; `bounds` are those of the field, for its JSON schema."""
    return BeforeValidator(_require_number, json_schema_input_type=Annotated[float, Field(**bounds)])


CostLimit = Annotated[
    Number,
    Field(ge=0, max_digits=14, allow_inf_nan=False),
    AfterValidator(lambda amount: amount.quantize(FOUR_PLACES, ROUND_DOWN)),
    strict_number(ge=0),
]
"""US dollars as a number in JSON, rounded down to four places, so that no cost within it exceeds what was sent."""


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("must lie in the years 1 to 9999") from None


Utc = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""A moment in UTC; a naive time is rejected."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def new_id() -> UUID:
    """A UUIDv7: sorts by the time it was made."""
    return uuid7()


def utc_now() -> datetime:
    """The current moment, aware, in UTC."""
    return datetime.now(UTC)


class Value(BaseModel):
    """A frozen value that ignores fields it does not know, so that writers may add some."""

    model_config = ConfigDict(frozen=True, extra="ignore")
