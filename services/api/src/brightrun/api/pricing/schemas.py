"""Bodies of prices, presets and estimates."""

from collections.abc import Sequence
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StringConstraints, model_validator

from brightrun.api.http.bodies import Body, example
from brightrun.api.pricing.estimates import EstimateRange, PastError
from brightrun.api.pricing.feasibility import MemoryFit, Verdict, in_gib
from brightrun.api.pricing.models import MAX_EPOCHS, BaseModelTerms, FeeTerms, GpuTerms, PriceChange
from brightrun.api.pricing.models import BaseModel as BaseModelRow
from brightrun.api.pricing.prices import Preset
from brightrun.api.pricing.runnability import Availability
from brightrun.contracts.pagination import Pagination
from brightrun.contracts.serving import Serving
from brightrun.contracts.shapes import ModelShape
from brightrun.contracts.training import GpuConfig, TrainingSpecView
from brightrun.contracts.values import Number, strict_number, to_cents

Usd = Annotated[Number, Field(ge=0, le=100_000, decimal_places=4, allow_inf_nan=False), strict_number(ge=0, le=100_000)]
Gib = Annotated[Number, Field(gt=0, le=100_000, decimal_places=2, allow_inf_nan=False), strict_number(gt=0, le=100_000)]
Factor = Annotated[Number, Field(gt=0, le=1000, decimal_places=4, allow_inf_nan=False), strict_number(gt=0, le=1000)]
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
    tokens_per_second: Annotated[int, Field(strict=True, ge=1, le=10_000_000)]
    memory_gib: Gib | None = None
    active: StrictBool = True

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
    price_factor: Factor | None = None
    shape: Shape | None = None
    active: StrictBool = True

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


class PriceTable(BaseModel):
    """All that holds now."""

    prices: list[PriceChange]


class PriceHistory(BaseModel):
    """A page of changes, newest first."""

    changes: list[PriceChange]
    pagination: Pagination


class GpuView(BaseModel):
    """A GPU type: USD an hour, tokens a second and memory, for one."""

    model_config = ConfigDict(from_attributes=True)

    type: str
    price_per_hour: Number
    tokens_per_second: int
    memory_gib: Number | None
    available: Availability


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
    available: Availability

    @classmethod
    def of(cls, model: BaseModelRow, available: Availability) -> Self:
        """With the shape that is known of it, where the table has none."""
        return cls.model_validate(dict(model) | {"shape": model.known_shape, "available": available})


class BaseModels(BaseModel):
    """The base models that the price table names; a cluster may have clients."""

    base_models: list[BaseModelView]


class Presets(BaseModel):
    """All presets."""

    presets: list[Preset]


Epochs = Annotated[int, Field(strict=True, ge=1, le=MAX_EPOCHS)]


class Hyperparameters(TrainingSpecView):
    """The hyperparameters of a request to `/api`."""

    epochs: Epochs | None = None


class PricedHyperparameters(Hyperparameters):
    """A training whose price is asked: what the price depends on must be given."""

    batch_size: Annotated[int, Field(strict=True, ge=1, le=64)]
    epochs: Epochs
    learning_rate: Annotated[float, Field(strict=True, ge=1e-5, le=1e-3, allow_inf_nan=False)]
    rank: Annotated[int, Field(strict=True, ge=4, le=128)]


class EstimateJob(Body):
    """A training whose price is asked."""

    model_config = example(
        {
            "dataset_id": "01a20f5d-0c5e-7000-8000-5d1c2a9b7e10",
            "gpu_config": {"type": "A100-80GB", "count": 1},
            "hyperparameters": {"batch_size": 4, "epochs": 3, "learning_rate": 0.0002, "rank": 16},
        }
    )

    dataset_id: UUID
    gpu_config: GpuConfig
    hyperparameters: PricedHyperparameters


class CostBreakdown(BaseModel):
    """What the cost is made of, in USD."""

    compute: Number
    storage: Number


class TrainingDetails(BaseModel):
    """What the estimate counts on."""

    total_steps: int
    steps_per_epoch: int
    estimated_throughput_tokens_per_sec: int
    dataset_name: str


class GpuMemory(BaseModel):
    """Whether one GPU of a type has memory enough, and what it needs; `advice` says what to change if it has not."""

    type: str
    memory_gib: Number | None
    needed_gib: Number | None
    verdict: Verdict
    advice: str | None


class MemoryEstimate(BaseModel):
    """What one GPU needs at most, with examples of `max_length` tokens; null for base models of unknown shape.

    `needed_gib` and `advice` are those of the GPU type that was asked about.
    """

    needed_gib: Number | None
    advice: str | None
    gpus: list[GpuMemory]

    @classmethod
    def of(cls, fits: Sequence[MemoryFit], asked: str) -> Self:
        """The verdict on each type of GPU, of which one was `asked` about."""
        gpus = [
            GpuMemory(
                type=one.gpu.type,
                memory_gib=one.gpu.memory_gib,
                needed_gib=to_cents(in_gib(one.needed)) if one.needed is not None else None,
                verdict=one.verdict,
                advice=one.advice,
            )
            for one in fits
        ]
        chosen = next((gpu for gpu in gpus if gpu.type == asked), None)
        return cls(
            needed_gib=chosen.needed_gib if chosen else None, advice=chosen.advice if chosen else None, gpus=gpus
        )


class Estimate(BaseModel):
    """What a training will cost (USD) and take (hours); what like jobs took in truth, once there are enough of them.

    `model_hours`: what the GPUs compute for a base model of this size, by a rule of thumb; the estimated duration
    counts on the price table's throughput, whatever the model. `serving` tells which engines will load the adapter.
    """

    estimated_cost: Number
    cost_breakdown: CostBreakdown
    estimated_duration_hours: Number
    hourly_rate: Number
    training_details: TrainingDetails
    range: EstimateRange | None
    past_error: PastError | None
    memory: MemoryEstimate
    model_hours: Number | None
    serving: Serving
    runnable: bool
    not_runnable: dict[str, list[str]] = Field(description="why no cluster can ever run it, by the request's fields")
