"""What this installation's finished jobs teach about estimates."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import median, quantiles

from brightrun.api.quotes import PastJob, Quote
from brightrun.contracts.values import to_cents

MIN_JOBS = 5
"""Fewer tell nothing, and could tell of somebody's one job."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A tenth of like jobs took less than `low`, half of them less than `expected`, a tenth more than `high`."""

    low: Decimal
    expected: Decimal
    high: Decimal


@dataclass(frozen=True, slots=True)
class Range:
    """Where a job's cost (USD) and duration (hours) will probably lie.

    Learned from `jobs` of the same GPU type, or of all types where `gpu_type` is None.
    """

    cost: Spread
    hours: Spread
    jobs: int
    gpu_type: str | None


@dataclass(frozen=True, slots=True)
class PastError:
    """By how much the cost of `count` jobs was misjudged: the median of |estimated - actual| / actual, in percent."""

    median_absolute_percentage: float
    count: int


def calibrate(quote: Quote, gpu_type: str, past: Sequence[PastJob]) -> Range | None:
    """The quote in the light of how long past jobs took against their estimates; None while there are too few."""
    alike = [job for job in past if job.gpu_type == gpu_type]
    known, learned_from = (alike, gpu_type) if len(alike) >= MIN_JOBS else (past, None)
    if len(known) < MIN_JOBS:
        return None
    ratios = [job.seconds / job.planned_seconds for job in known]
    deciles = quantiles(ratios, n=10, method="inclusive")
    hours = [Decimal(quote.seconds * ratio) / 3600 for ratio in (deciles[0], median(ratios), deciles[-1])]
    return Range(
        cost=Spread(*(to_cents(quote.hourly_rate * time + quote.storage) for time in hours)),
        hours=Spread(*(to_cents(time) for time in hours)),
        jobs=len(known),
        gpu_type=learned_from,
    )


def past_error(past: Sequence[PastJob]) -> PastError | None:
    """How good estimates were; None while there are too few jobs that cost anything."""
    errors = [abs(job.estimated_cost - job.cost) / job.cost for job in past if job.cost]
    if len(errors) < MIN_JOBS:
        return None
    return PastError(median_absolute_percentage=round(float(median(errors) * 100), 1), count=len(errors))
