"""Estimates of time and cost, and their calibration by past jobs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from statistics import median, quantiles

from brightrun.api.datasets.models import Dataset, PendingDataset
from brightrun.api.pricing.models import HourlyRate, PastJob, Quote
from brightrun.contracts.events import DatasetRef
from brightrun.contracts.shapes import ModelShape
from brightrun.contracts.speed import tokens_per_second
from brightrun.contracts.training import DEFAULT_EPOCHS, GpuConfig, TrainingSpec
from brightrun.contracts.values import Number, to_cents

DEFAULT_PAIRS = 1000
DEFAULT_TOKENS_PER_PAIR = 200
INITIALIZATION_SECONDS = 600
VALIDATION_SECONDS_PER_EPOCH = 300
SAVING_SECONDS = 300
TOLERANCE = Decimal("0.10")
MAX_AMOUNT = 9_999_999_999
"""USD; the greatest amount that is stored, and a cap of estimates."""
MAX_SECONDS = 10**12


def estimate(dataset: Dataset | DatasetRef | PendingDataset, spec: TrainingSpec, rate: HourlyRate) -> Quote:
    """Price a training (FR-3.1). Exact until the last step, then rounded half up.

    The original rounds binary floating-point numbers: both agree, save where the exact amount lies on half a cent.
    """
    pairs = dataset.training_pairs or DEFAULT_PAIRS
    tokens = dataset.tokens or pairs * DEFAULT_TOKENS_PER_PAIR
    steps_per_epoch = math.ceil(pairs / spec.batch_size)
    steps, epochs = _length(spec, steps_per_epoch)
    training = Fraction(steps * tokens * spec.batch_size, pairs * rate.tokens_per_second)
    seconds = training + (INITIALIZATION_SECONDS + VALIDATION_SECONDS_PER_EPOCH * epochs + SAVING_SECONDS)
    hours = seconds / 3600
    compute = Fraction(rate.hourly) * hours
    return Quote(
        total=_to_hundredths(compute + Fraction(rate.storage)),
        compute=_to_hundredths(compute),
        storage=rate.storage,
        seconds=min(round(seconds), MAX_SECONDS),
        hours=_to_hundredths(hours),
        hourly_rate=rate.hourly,
        total_steps=steps,
        steps_per_epoch=steps_per_epoch,
        epochs=epochs,
        tokens_per_second=rate.tokens_per_second,
    )


def model_hours(
    quote: Quote, dataset: Dataset, spec: TrainingSpec, shape: ModelShape | None, gpu: GpuConfig
) -> Decimal | None:
    """Hours of computation by the base model's size; None if that or the GPUs' speed is unknown."""
    speed = tokens_per_second(spec, shape, gpu.type) if shape else None
    if speed is None:
        return None
    pairs = dataset.training_pairs or DEFAULT_PAIRS
    tokens = dataset.tokens or pairs * DEFAULT_TOKENS_PER_PAIR
    trained = Fraction(quote.total_steps * spec.batch_size * tokens, pairs)
    return _to_hundredths(trained / Fraction(speed * gpu.count) / 3600)


def differs(claimed: Decimal, quote: Quote) -> bool:
    """Whether a claimed estimate differs by more than 10 %."""
    return abs(claimed - quote.total) > quote.total * TOLERANCE


def _length(spec: TrainingSpec, steps_per_epoch: int) -> tuple[int, int]:
    """Total steps, and the epochs that they begin."""
    if spec.max_steps is not None:
        return spec.max_steps, math.ceil(spec.max_steps / steps_per_epoch)
    epochs = spec.epochs or DEFAULT_EPOCHS
    return steps_per_epoch * epochs, epochs


def _to_hundredths(amount: Fraction) -> Decimal:
    numerator, denominator = amount.as_integer_ratio()
    hundredths = (200 * numerator + denominator) // (2 * denominator)
    return Decimal(min(hundredths, MAX_AMOUNT * 100)).scaleb(-2)


MIN_JOBS = 5
"""Fewer say little, and could disclose another user's job."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The deciles of similar jobs: 10 % were below `low`, 50 % below `expected`, 10 % above `high`."""

    low: Number
    expected: Number
    high: Number


@dataclass(frozen=True, slots=True)
class EstimateRange:
    """The probable cost (USD) and hours, learned from finished `jobs` on GPUs of `gpu_type`, or on all if null."""

    cost: Spread
    hours: Spread
    jobs: int
    gpu_type: str | None


@dataclass(frozen=True, slots=True)
class PastError:
    """The median of |estimated - actual| / actual over the costs of `count` jobs, in percent."""

    median_absolute_percentage: float
    count: int


def calibrate(quote: Quote, gpu_type: str, past: Sequence[PastJob]) -> EstimateRange | None:
    """The range of a quote by the ratio of actual to estimated time of past jobs; None with fewer than MIN_JOBS."""
    similar = [job for job in past if job.gpu_type == gpu_type]
    sample, sample_type = (similar, gpu_type) if len(similar) >= MIN_JOBS else (past, None)
    if len(sample) < MIN_JOBS:
        return None
    ratios = [job.seconds / job.planned_seconds for job in sample]
    deciles = quantiles(ratios, n=10, method="inclusive")
    hours = [Decimal(quote.seconds * ratio) / 3600 for ratio in (deciles[0], median(ratios), deciles[-1])]
    return EstimateRange(
        cost=Spread(*(to_cents(quote.hourly_rate * time + quote.storage) for time in hours)),
        hours=Spread(*(to_cents(time) for time in hours)),
        jobs=len(sample),
        gpu_type=sample_type,
    )


def past_error(past: Sequence[PastJob]) -> PastError | None:
    """The error of past estimates; None with fewer than MIN_JOBS that cost anything."""
    errors = [abs(job.estimated_cost - job.cost) / job.cost for job in past if job.cost]
    if len(errors) < MIN_JOBS:
        return None
    return PastError(median_absolute_percentage=round(float(median(errors) * 100), 1), count=len(errors))
