"""What trainings cost: the prices, the estimate, and what came of earlier ones."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Rate:
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
