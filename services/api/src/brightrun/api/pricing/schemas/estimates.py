"""Bodies of estimates."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, Field

from brightrun.api.datasets.models import Dataset
from brightrun.api.http.bodies import Body, Number, example
from brightrun.api.pricing.models import Quote
from brightrun.api.pricing.rules.estimates import EstimateRange, PastError
from brightrun.api.pricing.rules.feasibility import MemoryFit, Verdict, in_gib
from brightrun.contracts.serving import Serving
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

    @classmethod
    def of(
        cls,
        quote: Quote,
        dataset: Dataset,
        *,
        learned: EstimateRange | None,
        past_error: PastError | None,
        memory: MemoryEstimate,
        model_hours: Decimal | None,
        serving: Serving,
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
            range=learned,
            past_error=past_error,
            memory=memory,
            model_hours=model_hours,
            serving=serving,
        )
