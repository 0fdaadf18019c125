"""Bodies of the price table and presets."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from brightrun.api.http.bodies import Body, JsonObject, Number, example
from brightrun.api.pricing.models import BaseModel as BaseModelRow
from brightrun.api.pricing.models import BaseModelTerms, FeeTerms, GpuTerms, Kind, PresetId
from brightrun.contracts.pagination import Pagination
from brightrun.contracts.shapes import ModelShape

Usd = Annotated[Decimal, Field(ge=0, le=100_000, decimal_places=4, allow_inf_nan=False)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00-\x20\x7f]+$")]
SHAPE = {
    "parameters": 494032768,
    "layers": 24,
    "hidden_size": 896,
    "intermediate_size": 4864,
    "vocabulary": 151936,
    "attention_heads": 14,
    "kv_heads": 2,
    "head_size": 64,
    "context": 32768,
    "model_type": "qwen2",
}


class SetGpu(Body):
    """The terms of a GPU type: USD an hour and tokens a second of one, and its memory where that is known."""

    model_config = example({"price_per_hour": 10, "tokens_per_second": 3600, "memory_gib": 192, "active": True})

    price_per_hour: Usd
    tokens_per_second: Annotated[int, Field(ge=1, le=10_000_000)]
    memory_gib: Annotated[Decimal, Field(gt=0, le=100_000, decimal_places=2, allow_inf_nan=False)] | None = None
    active: bool = True

    def terms(self) -> GpuTerms:
        """As they are kept."""
        return GpuTerms.model_validate(self.model_dump())


class Shape(ModelShape, Body):
    """What a base model's memory depends on, as its `config.json` has it."""

    model_config = example(SHAPE)


class SetBaseModel(Body):
    """The terms of a base model. Its own price is USD for one GPU and hour, or a factor on the GPU's price."""

    model_config = example(
        {"revision": "main", "aliases": ["gpt-4o-mini-2024-07-18"], "price_factor": 1.5, "shape": SHAPE, "active": True}
    )

    revision: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None
    aliases: Annotated[tuple[Name, ...], Field(max_length=50)] = ()
    price_per_hour: Usd | None = None
    price_factor: Annotated[Decimal, Field(gt=0, le=1000, decimal_places=4, allow_inf_nan=False)] | None = None
    shape: Shape | None = None
    active: bool = True

    @model_validator(mode="after")
    def _refuse_two_prices(self) -> Self:
        if self.price_per_hour is not None and self.price_factor is not None:
            raise ValueError("give price_per_hour or price_factor, not both")
        return self

    def terms(self) -> BaseModelTerms:
        """As they are kept."""
        return BaseModelTerms.model_validate(self.model_dump())


class SetFee(Body):
    """USD, charged once a job."""

    model_config = example({"amount": 0.5})

    amount: Usd

    def terms(self) -> FeeTerms:
        """As they are kept."""
        return FeeTerms(amount=self.amount)


class PriceView(BaseModel):
    """Terms that hold, or held, from `valid_from` on; `changed_by` is empty for what the installation came with."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    kind: Kind
    name: str
    terms: JsonObject
    active: bool
    valid_from: datetime
    changed_by: UUID | None


class PriceTable(BaseModel):
    """All that holds now."""

    prices: list[PriceView]


class PriceHistory(BaseModel):
    """A page of changes, newest first."""

    changes: list[PriceView]
    pagination: Pagination


class GpuView(BaseModel):
    """A GPU type: USD an hour, tokens a second and memory, for one."""

    model_config = ConfigDict(from_attributes=True)

    type: str
    price_per_hour: Number
    tokens_per_second: int
    memory_gib: Number | None


class Gpus(BaseModel):
    """The GPU types that can be asked for, cheapest first."""

    gpus: list[GpuView]


class BaseModelView(BaseModel):
    """A base model; the price is its own, for one GPU and hour or as a factor on the GPU's, where it has one."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    revision: str | None
    aliases: tuple[str, ...]
    price_per_hour: Number | None
    price_factor: Number | None
    shape: ModelShape | None

    @classmethod
    def of(cls, model: BaseModelRow) -> Self:
        """With the shape that is known of it, where the table has none."""
        return cls.model_validate(model).model_copy(update={"shape": model.known_shape})


class BaseModels(BaseModel):
    """The base models that the price table names; a cluster may have clients."""

    base_models: list[BaseModelView]


class PresetView(BaseModel):
    """A named choice of hyperparameters."""

    model_config = ConfigDict(from_attributes=True)

    id: PresetId
    name: str
    description: str
    details: str
    hyperparameters: JsonObject


class Presets(BaseModel):
    """All presets."""

    presets: list[PresetView]
