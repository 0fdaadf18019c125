"""Rows of the gateway's slice."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from brightrun.contracts.shapes import KNOWN, ModelShape
from brightrun.contracts.values import Money, Utc, Value

PresetId = Literal["fast", "balanced", "quality", "custom"]
Kind = Literal["gpu", "base_model", "fee"]
STORAGE = "storage"
"""The fee that is charged once for each job."""


class GpuTerms(Value):
    """One GPU of a type: USD an hour, the tokens a second that estimates count on, its memory where that is known."""

    price_per_hour: Money
    tokens_per_second: int
    memory_gib: Decimal | None = None


class GpuPrice(GpuTerms):
    """A GPU type that can be asked for."""

    type: str


class BaseModelTerms(Value):
    """A base model: the revision that jobs get unless they name one, and the other names that it goes by.

    Its own price is USD for one GPU and hour in place of the GPU's, or a factor on that.
    """

    revision: str | None = None
    aliases: tuple[str, ...] = ()
    price_per_hour: Money | None = None
    price_factor: Decimal | None = None
    shape: ModelShape | None = None


class BaseModel(BaseModelTerms):
    """A base model that the table names, since `created_at`."""

    name: str
    created_at: Utc
    active: bool = True

    @property
    def known_shape(self) -> ModelShape | None:
        """As an admin told, or else as it is known of the name, which may be more."""
        known = KNOWN.get(self.name)
        if known and (self.shape is None or self.shape.parameters == known.parameters):
            return known
        return self.shape


class FeeTerms(Value):
    """USD, charged once a job."""

    amount: Money


Terms = GpuTerms | BaseModelTerms | FeeTerms


@dataclass(frozen=True, slots=True)
class PriceChange:
    """A row of the table's journal. `changed_by` is None for what the installation came with."""

    id: int
    kind: Kind
    name: str
    terms: dict[str, Any]
    active: bool
    valid_from: datetime
    changed_by: UUID | None


@dataclass(frozen=True, slots=True)
class CurrentPrices:
    """What an order would get at this moment; None for a GPU type that cannot be had, or a model without an entry."""

    gpu: GpuPrice | None
    base_model: BaseModel | None
    storage: Decimal

    def shape_of(self, asked: str) -> ModelShape | None:
        """The base model's shape, where it is known; `asked` is the name of one without an entry."""
        return self.base_model.known_shape if self.base_model else KNOWN.get(asked)


@dataclass(frozen=True, slots=True)
class HourlyRate:
    """What all GPUs of a job cost (USD an hour) and train (tokens a second), and what storing its model costs (USD)."""

    hourly: Decimal
    tokens_per_second: int
    storage: Decimal


@dataclass(frozen=True, slots=True)
class Quote:
    """An estimate: `total`, `compute` (USD) and hours to two places, the prices that it is made of (USD) in full."""

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
    """A completed job: what was estimated and what came of it, in seconds of its GPUs and in USD."""

    gpu_type: str
    planned_seconds: int
    seconds: float
    estimated_cost: Decimal
    cost: Decimal
