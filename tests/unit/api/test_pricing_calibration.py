"""What finished jobs teach, worked out by hand."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brightrun.api.pricing.estimates import PastError, Spread, calibrate, past_error
from brightrun.api.pricing.models import PastJob, Quote

QUOTE = Quote(
    total=Decimal("4.00"),
    compute=Decimal("3.50"),
    storage=Decimal("0.50"),
    seconds=3600,
    hours=Decimal("1.00"),
    hourly_rate=Decimal("3.50"),
    total_steps=10,
    steps_per_epoch=10,
    epochs=1,
    tokens_per_second=1800,
)


def took(ratio: float, gpu_type: str = "H100", cost: str = "1.10") -> PastJob:
    """A job that took `ratio` of its planned 1000 s, and was estimated to cost 1.00."""
    return PastJob(gpu_type, 1000, 1000 * ratio, Decimal("1.00"), Decimal(cost))


def test_jobs_of_the_same_gpu_type_calibrate_an_estimate():
    past = [took(ratio) for ratio in (0.5, 1.0, 1.5, 2.0, 2.5)] + [took(9, "CPU")] * 9
    learned = calibrate(QUOTE, "H100", past)

    # deciles of five values, inclusive: 0.5 + 0.4 · 0.5 = 0.7 and 2.0 + 0.6 · 0.5 = 2.3; times 3.50 USD, + 0.50
    assert learned is not None
    assert learned.hours == Spread(Decimal("0.70"), Decimal("1.50"), Decimal("2.30"))
    assert learned.cost == Spread(Decimal("2.95"), Decimal("5.75"), Decimal("8.55"))
    assert (learned.jobs, learned.gpu_type) == (5, "H100")


def test_with_too_few_of_the_type_all_jobs_tell():
    learned = calibrate(QUOTE, "H100", [took(2)] * 4 + [took(1, "CPU")] * 6)

    assert learned is not None
    assert (learned.jobs, learned.gpu_type, learned.hours.expected) == (10, None, Decimal("1.00"))


@pytest.mark.parametrize("count", [0, 1, 4])
def test_too_few_jobs_tell_nothing(count):
    assert calibrate(QUOTE, "H100", [took(1)] * count) is None
    assert past_error([took(1)] * count) is None


def test_the_error_is_the_median_of_what_costs_were_off():
    # |1.00 - cost| / cost: 0, 1.0, 0.5, 0.2, 0.75
    past = [took(1, cost=cost) for cost in ("1.00", "0.50", "2.00", "1.25", "4.00")]

    assert past_error(past) == PastError(50.0, 5)
    assert past_error([*past, took(1, cost="0")]) == PastError(50.0, 5)


@given(st.lists(st.floats(0, 1e6, allow_nan=False), min_size=5, max_size=30))
def test_the_range_is_in_order(ratios):
    learned = calibrate(QUOTE, "H100", [took(ratio) for ratio in ratios])

    assert learned is not None
    assert learned.hours.low <= learned.hours.expected <= learned.hours.high
    assert learned.cost.low <= learned.cost.expected <= learned.cost.high
