"""Bodies of estimates."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from brightrun.api.models import Dataset
from brightrun.api.price_table import GpuPrice
from brightrun.api.quotes import Quote
from brightrun.api.rules.calibration import PastError, Range
from brightrun.api.rules.memory import GIB, Memory, Verdict, verdict
from brightrun.api.schemas.body import Body, Number, example
from brightrun.contracts.training import GpuConfig, TrainingSpec
from brightrun.contracts.values import to_cents


class PricedHyperparameters(TrainingSpec):
    """A training whose price is asked: what the price depends on must be given."""

    batch_size: Annotated[int, Field(ge=1, le=64)]
    epochs: Annotated[int, Field(ge=1, le=20)]
    learning_rate: Annotated[float, Field(ge=1e-5, le=1e-3, allow_inf_nan=False)]
    rank: Annotated[int, Field(ge=4, le=128)]


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


class Spread(BaseModel):
    """A tenth of like jobs took less than `low`, half of them less than `expected`, a tenth more than `high`."""

    model_config = ConfigDict(from_attributes=True)

    low: Number
    expected: Number
    high: Number


class EstimateRange(BaseModel):
    """Cost (USD) and hours as finished `jobs` teach them: those on GPUs of `gpu_type`, or on all if that is null."""

    model_config = ConfigDict(from_attributes=True)

    cost: Spread
    hours: Spread
    jobs: int
    gpu_type: str | None


class PastErrorView(BaseModel):
    """By how much the cost of finished jobs was misjudged: the median, in percent of what they cost."""

    model_config = ConfigDict(from_attributes=True)

    median_absolute_percentage: float
    count: int


class GpuMemory(BaseModel):
    """Whether one GPU of a type has memory enough."""

    type: str
    memory_gib: Number | None
    verdict: Verdict


class MemoryEstimate(BaseModel):
    """What one GPU needs at most, with examples of `max_length` tokens; null for base models of unknown shape."""

    needed_gib: Number | None
    gpus: list[GpuMemory]

    @classmethod
    def of(cls, memory: Memory | None, gpus: Sequence[GpuPrice]) -> Self:
        """The verdict on each type of GPU."""
        return cls(
            needed_gib=to_cents(Decimal(memory.total) / GIB) if memory else None,
            gpus=[
                GpuMemory(type=gpu.type, memory_gib=gpu.memory_gib, verdict=verdict(memory, gpu.memory_gib))
                for gpu in gpus
            ],
        )


class Estimate(BaseModel):
    """What a training will cost (USD) and take (hours); what like jobs took in truth, once there are enough of them."""

    estimated_cost: Number
    cost_breakdown: CostBreakdown
    estimated_duration_hours: Number
    hourly_rate: Number
    training_details: TrainingDetails
    range: EstimateRange | None
    past_error: PastErrorView | None
    memory: MemoryEstimate

    @classmethod
    def of(
        cls,
        quote: Quote,
        dataset: Dataset,
        *,
        learned: Range | None,
        past_error: PastError | None,
        memory: MemoryEstimate,
    ) -> Self:
        """The quote in the original's words, and what goes beyond it."""
        return cls(
            estimated_cost=quote.total,
            cost_breakdown=CostBreakdown(compute=quote.compute, storage=quote.storage),
            estimated_duration_hours=quote.hours,
            hourly_rate=to_cents(quote.hourly_rate),
            training_details=TrainingDetails(
                total_steps=quote.total_steps,
                steps_per_epoch=quote.steps_per_epoch,
                estimated_throughput_tokens_per_sec=quote.tokens_per_second,
                dataset_name=dataset.name,
            ),
            range=EstimateRange.model_validate(learned) if learned else None,
            past_error=PastErrorView.model_validate(past_error) if past_error else None,
            memory=memory,
        )
