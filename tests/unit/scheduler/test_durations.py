"""How long a job is expected to train."""

from decimal import Decimal

import pytest

from brightrun.scheduler.queue.rules.fairness import DEFAULT_SECONDS, MIN_SECONDS, expected_seconds
from tests.builders import job_queued, pricing


@pytest.mark.parametrize(
    ("rate", "storage", "estimate", "seconds"),
    [
        ("2.00", "0.50", "1.50", 1800),
        ("2.00", "0.50", "0.5001", MIN_SECONDS),
        ("2.00", "0.50", "0.50", DEFAULT_SECONDS),
        ("0.00", "0.50", "1.50", DEFAULT_SECONDS),
        ("2.00", "0.50", "0.10", DEFAULT_SECONDS),
    ],
)
def test_the_estimate_less_storage_is_time_at_the_hourly_rate(rate, storage, estimate, seconds) -> None:
    job = job_queued(pricing=pricing(rate, storage), estimated_cost=Decimal(estimate))
    assert expected_seconds(job) == pytest.approx(seconds)
