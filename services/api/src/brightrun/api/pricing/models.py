"""Prices, estimates and past jobs."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import PlainSerializer

from brightrun.contracts.shapes import KNOWN, ModelShape
from brightrun.contracts.values import Money, Utc, Value

PresetId = Literal["fast", "balanced", "quality", "custom"]
Kind = Literal["gpu", "base_model", "fee"]
MAX_EPOCHS = 20
"""In the dialect `api`; the dialect `openai` accepts as many as OpenAI."""
STORAGE = "storage"
"""The fee that each job pays once."""


class GpuTerms(Value):
    """One GPU of a type: USD an hour, tokens a second for estimates, and its memory if known."""

    price_per_hour: Money
    tokens_per_second: int
    memory_gib: Decimal | None = None


class GpuPrice(GpuTerms):
    """An active GPU type."""

    type: str


class BaseModelTerms(Value):
    """A base model: its default revision and its aliases.

    Its own price is USD for one GPU and hour instead of the GPU's price, or a factor on that.
    """

    revision: str | None = None
    aliases: tuple[str, ...] = ()
    price_per_hour: Money | None = None
    price_factor: Decimal | None = None
    shape: ModelShape | None = None


class BaseModel(BaseModelTerms):
    """A base model of the price table, since `created_at`."""

    name: str
    created_at: Utc
    active: bool = True

    @property
    def known_shape(self) -> ModelShape | None:
        """As an admin entered it, or the built-in one of the same model, which has more fields."""
        known = KNOWN.get(self.name)
        if known and (self.shape is None or self.shape.parameters == known.parameters):
            return known
        return self.shape


class FeeTerms(Value):
    """USD, charged once a job."""

    amount: Money


Terms = GpuTerms | BaseModelTerms | FeeTerms


def with_numbers(terms: dict[str, Any]) -> dict[str, Any]:
    """Stored terms with their amounts as numbers."""
    amounts = ("price_per_hour", "price_factor", "memory_gib", "amount")
    return {name: float(value) if value and name in amounts else value for name, value in terms.items()}


@dataclass(frozen=True, slots=True)
class PriceChange:
    """A row of the journal: terms in force from `valid_from` on. `changed_by` is null for the built-in rows."""

    id: int
    kind: Kind
    name: str
    terms: Annotated[dict[str, Any], PlainSerializer(with_numbers, dict[str, Any], "json")]
    active: bool
    valid_from: datetime
    changed_by: UUID | None


@dataclass(frozen=True, slots=True)
class CurrentPrices:
    """The prices of a request; None for a GPU type that is not active, or a model without an entry."""

    gpu: GpuPrice | None
    base_model: BaseModel | None
    storage: Decimal

    def shape_of(self, name: str) -> ModelShape | None:
        """The base model's shape, if known; `name` is that of one without an entry."""
        return self.base_model.known_shape if self.base_model else KNOWN.get(name)


@dataclass(frozen=True, slots=True)
class HourlyRate:
    """The price (USD an hour) and speed (tokens a second) of all GPUs of a job, and the storage fee (USD)."""

    hourly: Decimal
    tokens_per_second: int
    storage: Decimal


@dataclass(frozen=True, slots=True)
class Quote:
    """An estimate: `total`, `compute` (USD) and hours to two places, prices (USD) to four."""

    total: Decimal
    compute: Decimal
    storage: Decimal
    seconds: int
    hours: Decimal
    hourly_rate: Decimal
    total_steps: int
    steps_per_epoch: int
    epochs: int
    tokens_per_second: int


@dataclass(frozen=True, slots=True)
class PastJob:
    """A completed job: its estimate and actual result, in seconds and USD."""

    gpu_type: str
    planned_seconds: int
    seconds: float
    estimated_cost: Decimal
    cost: Decimal
