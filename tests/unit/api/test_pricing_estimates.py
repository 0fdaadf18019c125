"""The estimate against figures worked out by hand from FR-3.1 of the original.

steps = ceil(pairs / batch) · epochs                           pairs 0 counts as 1000, tokens 0 as 200 for each pair
train = steps · (tokens / pairs · batch) / (tokens a second · GPUs)     seconds
extra = 600 + 300 · epochs + 300                                        seconds
hours = (train + extra) / 3600;  compute = hours · price · GPUs;  total = compute + 0.50
"""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brightrun.api.datasets.models import Dataset
from brightrun.api.pricing.estimates import differs, estimate
from brightrun.api.pricing.models import CurrentPrices, GpuPrice, Quote
from brightrun.api.pricing.prices import hourly_rate_of
from brightrun.contracts.training import GpuConfig, TrainingSpec
from brightrun.contracts.values import new_id

STORAGE = Decimal("0.50")
PRICES = {
    "A100-80GB": GpuPrice(type="A100-80GB", price_per_hour=Decimal("3.50"), tokens_per_second=1800),
    "A100-40GB": GpuPrice(type="A100-40GB", price_per_hour=Decimal("2.80"), tokens_per_second=1500),
    "H100": GpuPrice(type="H100", price_per_hour=Decimal("4.20"), tokens_per_second=2200),
    "V100-32GB": GpuPrice(type="V100-32GB", price_per_hour=Decimal("2.10"), tokens_per_second=1200),
    "CPU": GpuPrice(type="CPU", price_per_hour=Decimal("0.05"), tokens_per_second=2000),
}

# pairs, tokens, GPU type, GPUs, batch, epochs → steps an epoch, steps, hours, compute, total
# fmt: off
WORKED_BY_HAND = [
    # 250·3 steps: 333.333 + 1800 s = 0.592593 h × 3.50 USD = 2.074074, + 0.50
    (1000, 200000, "A100-80GB", 1, 4, 3, 250, 750, "0.59", "2.07", "2.57"),
    # 250·3 steps: 400.000 + 1800 s = 0.611111 h × 2.80 USD = 1.711111, + 0.50
    (1000, 200000, "A100-40GB", 1, 4, 3, 250, 750, "0.61", "1.71", "2.21"),
    # 250·3 steps: 272.727 + 1800 s = 0.575758 h × 4.20 USD = 2.418182, + 0.50
    (1000, 200000, "H100", 1, 4, 3, 250, 750, "0.58", "2.42", "2.92"),
    # 250·3 steps: 500.000 + 1800 s = 0.638889 h × 2.10 USD = 1.341667, + 0.50
    (1000, 200000, "V100-32GB", 1, 4, 3, 250, 750, "0.64", "1.34", "1.84"),
    # 250·3 steps: 300.000 + 1800 s = 0.583333 h × 0.05 USD = 0.029167, + 0.50
    (1000, 200000, "CPU", 1, 4, 3, 250, 750, "0.58", "0.03", "0.53"),
    # 125·1 steps: 100.000 + 1200 s = 0.361111 h × 3.50 USD = 1.263889, + 0.50
    (1000, 180000, "A100-80GB", 1, 8, 1, 125, 125, "0.36", "1.26", "1.76"),
    # 250·3 steps: 150.000 + 1800 s = 0.541667 h × 7.00 USD = 3.791667, + 0.50
    (1000, 180000, "A100-80GB", 2, 4, 3, 250, 750, "0.54", "3.79", "4.29"),
    # 500·5 steps: 62.500 + 2400 s = 0.684028 h × 28.00 USD = 19.152778, + 0.50
    (1000, 180000, "A100-80GB", 8, 2, 5, 500, 2500, "0.68", "19.15", "19.65"),
    # 250·3 steps: 333.333 + 1800 s = 0.592593 h × 3.50 USD = 2.074074, + 0.50
    (0, 0, "A100-80GB", 1, 4, 3, 250, 750, "0.59", "2.07", "2.57"),
    # 100·2 steps: 100.000 + 1500 s = 0.444444 h × 3.50 USD = 1.555556, + 0.50
    (0, 90000, "A100-80GB", 1, 10, 2, 100, 200, "0.44", "1.56", "2.06"),
    # 125·3 steps: 100.000 + 1800 s = 0.527778 h × 5.60 USD = 2.955556, + 0.50
    (500, 0, "A100-40GB", 2, 4, 3, 125, 375, "0.53", "2.96", "3.46"),
    # 1·1 steps: 7.111 + 1200 s = 0.335309 h × 3.50 USD = 1.173580, + 0.50
    (1, 200, "A100-80GB", 1, 64, 1, 1, 1, "0.34", "1.17", "1.67"),
    # 1·1 steps: 1.000 + 1200 s = 0.333611 h × 3.50 USD = 1.167639, + 0.50
    (1, 1800, "A100-80GB", 1, 1, 1, 1, 1, "0.33", "1.17", "1.67"),
    # 4·2 steps: 2.400 + 1500 s = 0.417333 h × 4.20 USD = 1.752800, + 0.50
    (10, 2200, "H100", 1, 3, 2, 4, 8, "0.42", "1.75", "2.25"),
    # 2·1 steps: 10.667 + 1200 s = 0.336296 h × 2.10 USD = 0.706222, + 0.50
    (65, 6500, "V100-32GB", 1, 64, 1, 2, 2, "0.34", "0.71", "1.21"),
    # 60·3 steps: 45.000 + 1800 s = 0.512500 h × 0.05 USD = 0.025625, + 0.50
    (240, 30000, "CPU", 1, 4, 3, 60, 180, "0.51", "0.03", "0.53"),
    # 30·1 steps: 15.000 + 1200 s = 0.337500 h × 0.05 USD = 0.016875, + 0.50
    (240, 30000, "CPU", 1, 8, 1, 30, 30, "0.34", "0.02", "0.52"),
    # 2500·3 steps: 3000.000 + 1800 s = 1.333333 h × 7.00 USD = 9.333333, + 0.50
    (10000, 3600000, "A100-80GB", 2, 4, 3, 2500, 7500, "1.33", "9.33", "9.83"),
    # 1000·20 steps: 20000.000 + 6900 s = 7.472222 h × 12.60 USD = 94.150000, + 0.50
    (10000, 6600000, "H100", 3, 10, 20, 1000, 20000, "7.47", "94.15", "94.65"),
    # 3125·10 steps: 30000.000 + 3900 s = 9.416667 h × 10.50 USD = 98.875000, + 0.50
    (50000, 18000000, "V100-32GB", 5, 16, 10, 3125, 31250, "9.42", "98.88", "99.38"),
    # 2000·4 steps: 4000.000 + 2100 s = 1.694444 h × 16.80 USD = 28.466667, + 0.50
    (50000, 9000000, "A100-40GB", 6, 25, 4, 2000, 8000, "1.69", "28.47", "28.97"),
    # 1563·20 steps: 75024.000 + 6900 s = 22.756667 h × 28.00 USD = 637.186667, + 0.50
    (100000, 54000000, "A100-80GB", 8, 64, 20, 1563, 31260, "22.76", "637.19", "637.69"),
    # 15625·20 steps: 2500000.000 + 6900 s = 696.361111 h × 22.40 USD = 15598.488889, + 0.50
    (1000000, 1500000000, "A100-40GB", 8, 64, 20, 15625, 312500, "696.36", "15598.49", "15598.99"),
    # 4·4 steps: 4.701 + 2100 s = 0.584639 h × 2.10 USD = 1.227742, + 0.50
    (7, 1234, "V100-32GB", 1, 2, 4, 4, 16, "0.58", "1.23", "1.73"),
]
# fmt: on


def quote(pairs: int, tokens: int, gpu: str, count: int, **spec: int) -> Quote:
    dataset = Dataset(new_id(), "Workshop replies", "openai_chat", "ready", pairs, tokens, None)
    rate = hourly_rate_of(GpuConfig(type=gpu, count=count), CurrentPrices(PRICES[gpu], None, STORAGE))
    return estimate(dataset, TrainingSpec.model_validate(spec), rate)


@pytest.mark.parametrize(
    ("pairs", "tokens", "gpu", "count", "batch", "epochs", "steps_per_epoch", "steps", "hours", "compute", "total"),
    WORKED_BY_HAND,
)
def test_the_estimate_is_the_originals_to_the_cent(
    *, pairs, tokens, gpu, count, batch, epochs, steps_per_epoch, steps, hours, compute, total
):
    quoted = quote(pairs, tokens, gpu, count, batch_size=batch, epochs=epochs)

    assert (quoted.steps_per_epoch, quoted.total_steps) == (steps_per_epoch, steps)
    assert str(quoted.hours) == hours
    assert str(quoted.compute) == compute
    assert str(quoted.total) == total


def test_the_rate_and_the_throughput_are_those_of_all_gpus():
    quoted = quote(1000, 200_000, "H100", 3, batch_size=4, epochs=1)

    assert (quoted.hourly_rate, quoted.tokens_per_second) == (Decimal("12.60"), 6600)


def test_max_steps_are_counted_as_the_epochs_that_they_begin():
    quoted = quote(1000, 180_000, "A100-80GB", 1, batch_size=4, max_steps=300)

    # 250 steps an epoch, so 2 epochs begin: 300 · 720 / 1800 + 600 + 600 + 300 = 1620 s = 0.45 h × 3.50 = 1.575 → 1.58
    assert (quoted.total_steps, quoted.epochs, quoted.hours) == (300, 2, Decimal("0.45"))
    assert (quoted.compute, quoted.total) == (Decimal("1.58"), Decimal("2.08"))


@pytest.mark.parametrize(
    ("claimed", "changed"),
    [("2.57", False), ("2.82", False), ("2.83", True), ("2.32", False), ("2.31", True), ("0", True)],
)
def test_a_claim_may_be_a_tenth_off(claimed, changed):
    quoted = quote(1000, 200_000, "A100-80GB", 1, batch_size=4, epochs=3)  # 2.57: 2.313 to 2.827

    assert differs(Decimal(claimed), quoted) is changed


@given(st.integers(0, 10**7), st.integers(0, 10**10), st.integers(1, 64), st.integers(1, 20), st.integers(1, 8))
def test_more_gpus_are_never_slower_and_more_epochs_never_cheaper(pairs, tokens, batch, epochs, count):
    quoted = quote(pairs, tokens, "H100", count, batch_size=batch, epochs=epochs)
    fewer = quote(pairs, tokens, "H100", max(count - 1, 1), batch_size=batch, epochs=epochs)
    shorter = quote(pairs, tokens, "H100", count, batch_size=batch, epochs=max(epochs - 1, 1))

    assert quoted.hours <= fewer.hours
    assert quoted.total >= shorter.total
