"""What a training will take and cost, by the original's formula."""

import math
from decimal import Decimal
from fractions import Fraction

from brightrun.api.models import Dataset, PendingDataset
from brightrun.api.quotes import Quote, Rate
from brightrun.contracts.events import DatasetRef
from brightrun.contracts.shapes import ModelShape
from brightrun.contracts.speed import tokens_per_second
from brightrun.contracts.training import DEFAULT_EPOCHS, GpuConfig, TrainingSpec

DEFAULT_PAIRS = 1000
DEFAULT_TOKENS_PER_PAIR = 200

INITIALIZATION_SECONDS = 600
VALIDATION_SECONDS_PER_EPOCH = 300
SAVING_SECONDS = 300

TOLERANCE = Decimal("0.10")
LARGEST = Fraction(9_999_999_999)
"""USD; the greatest whole amount that is stored. What costs more is estimated at that."""
MAX_SECONDS = 10**12


def estimate(dataset: Dataset | DatasetRef | PendingDataset, spec: TrainingSpec, rate: Rate) -> Quote:
    """Price a training (FR-3.1). Exact until the last step, then rounded half up.

    The original rounds binary floating-point numbers: both agree, save where the exact amount lies on half a cent.
    """
    pairs = dataset.training_pairs or DEFAULT_PAIRS
    tokens = dataset.tokens or pairs * DEFAULT_TOKENS_PER_PAIR
    steps_per_epoch = math.ceil(pairs / spec.batch_size)
    steps, epochs = _length(spec, steps_per_epoch)
    training = Fraction(steps * tokens * spec.batch_size, pairs * rate.tokens_per_second)
    seconds = training + INITIALIZATION_SECONDS + VALIDATION_SECONDS_PER_EPOCH * epochs + SAVING_SECONDS
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
    """Hours that all GPUs compute, as follows from the base model's size; None where that or their speed is unknown."""
    speed = tokens_per_second(spec, shape, gpu.type) if shape else None
    if speed is None:
        return None
    pairs = dataset.training_pairs or DEFAULT_PAIRS
    tokens = dataset.tokens or pairs * DEFAULT_TOKENS_PER_PAIR
    trained = Fraction(quote.total_steps * spec.batch_size * tokens, pairs)
    return _to_hundredths(trained / Fraction(speed * gpu.count) / 3600)


def differs(claimed: Decimal, quote: Quote) -> bool:
    """Whether a client's figure is more than a tenth off."""
    return abs(claimed - quote.total) > quote.total * TOLERANCE


def _length(spec: TrainingSpec, steps_per_epoch: int) -> tuple[int, int]:
    """Steps in all, and the epochs that they begin."""
    if spec.max_steps is not None:
        return spec.max_steps, math.ceil(spec.max_steps / steps_per_epoch)
    epochs = spec.epochs or DEFAULT_EPOCHS
    return steps_per_epoch * epochs, epochs


def _to_hundredths(amount: Fraction) -> Decimal:
    return Decimal(math.floor(min(amount, LARGEST) * 100 + Fraction(1, 2))).scaleb(-2)
