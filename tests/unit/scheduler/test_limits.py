"""A job's limits end it in time, and what it costs never passes its cap."""

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brightrun.contracts.cluster_api import RunStatus
from brightrun.contracts.events import JobQueued, Pricing, Segment
from brightrun.contracts.training import TrainingSpec
from brightrun.contracts.values import new_id
from brightrun.scheduler.lifecycle.rules import GONE, billed_segment
from brightrun.scheduler.limits import rules as limits
from brightrun.scheduler.limits.models import Allowance
from tests.builders import NOON, job_queued, pricing

MONEY = st.decimals(0, 5000, places=4)
RATES = st.decimals(Decimal("0.0001"), 500, places=4)
SECONDS = st.floats(0, 3e6, allow_nan=False)


def job(max_cost=None, max_duration=None, rate="3.6000", storage="0.5000") -> JobQueued:
    spec = TrainingSpec(max_cost=max_cost, max_duration=max_duration)
    return job_queued(spec=spec, pricing=Pricing(hourly_rate=Decimal(rate), storage=Decimal(storage)))


def segments(*lengths: float) -> list[Segment]:
    return [
        Segment(attempt=attempt, started_at=NOON, finished_at=NOON + timedelta(seconds=length))
        for attempt, length in enumerate(lengths, 1)
    ]


def test_a_job_without_limits_has_no_allowance() -> None:
    assert not limits.has_limit(job())
    assert limits.allowance(job(), []) is None
    assert limits.billed_until(job(), [], NOON, NOON + timedelta(days=900)) == NOON + timedelta(days=900)


@pytest.mark.parametrize(
    ("limited", "before", "allowed"),
    [
        (job(max_cost="1.5"), (), Allowance(1000, "budget")),
        (job(max_cost="1.5"), (400, 100), Allowance(500, "budget")),
        (job(max_cost="1.5"), (5000,), Allowance(0, "budget")),
        (job(max_cost="0.3"), (), Allowance(0, "budget")),
        (job(max_duration=600), (), Allowance(600, "duration")),
        (job(max_duration=600), (200, 300), Allowance(100, "duration")),
        (job(max_duration=600), (700,), Allowance(0, "duration")),
        (job(max_cost="1.5", max_duration=600), (), Allowance(600, "duration")),
        (job(max_cost="1.5", max_duration=6000), (), Allowance(1000, "budget")),
        (job(max_cost="1.5", rate="0"), (), Allowance(limits.MAX_DURATION.total_seconds(), "budget")),
    ],
)
def test_the_allowance_is_the_shorter_limit_after_storage_and_billed_segments(limited, before, allowed) -> None:
    assert limits.has_limit(limited)
    assert limits.allowance(limited, segments(*before)) == allowed


@given(MONEY, RATES, MONEY, st.lists(SECONDS, max_size=4), SECONDS)
def test_a_job_never_costs_more_than_its_cap(cap, rate, storage, before, length) -> None:
    """However often it was stopped or tried again. A cap below the storage fee is refused at submission."""
    capped = job(max_cost=cap, rate=str(rate), storage=str(storage))
    billed: list[Segment] = []
    for attempt, seconds in enumerate([*before, length], 1):
        end = limits.billed_until(capped, billed, NOON, NOON + timedelta(seconds=seconds))
        assert end <= NOON + timedelta(seconds=seconds)
        billed.append(Segment(attempt=attempt, started_at=NOON, finished_at=end))
    compute = capped.pricing.total(billed)
    assert compute + storage <= cap if cap >= storage else compute == 0


@given(RATES, st.integers(60, 10**6), SECONDS)
def test_a_run_within_its_allowance_is_billed_to_its_end(rate, seconds, length) -> None:
    capped = job(max_cost=Decimal(9999), rate=str(rate))
    allowed = limits.allowance(capped, [])
    assert allowed is not None
    end = NOON + timedelta(seconds=min(length, allowed.seconds))
    assert limits.billed_until(capped, [], NOON, end) == end


@given(SECONDS, SECONDS, st.none() | st.floats(0, 1e4), st.floats(0, 1e3))
def test_a_run_is_stopped_after_half_and_before_all_of_its_allowance(allowed, trained, saving, step) -> None:
    left = limits.stop_in(allowed, trained, saving, step).total_seconds()
    assert 0 <= left <= max(allowed - trained, 0) + 1e-6
    if trained <= allowed / 2:
        assert trained + left >= allowed / 2 - 1e-3


@given(SECONDS, st.floats(0, 1e4), st.floats(0, 1e4))
def test_slower_checkpoints_stop_a_run_earlier(allowed, one, other) -> None:
    quick, slow = sorted([one, other])
    assert limits.stop_in(allowed, 0, slow, 0) <= limits.stop_in(allowed, 0, quick, 0)


def test_the_reserve_covers_the_end_of_a_run() -> None:
    assert limits.reserve(3600, 20.0, 2.0) >= 2.0 + 2 * 20.0
    assert limits.stop_in(3600, 0, 20.0, 2.0) <= timedelta(seconds=3600 - 42)


def test_pricing_totals_are_those_of_the_ledger() -> None:
    price = pricing("0.0777")
    parts = segments(10.5, 1234.567, 0.001)
    assert price.total(parts) == sum(price.compute_cost(one.started_at, one.finished_at) for one in parts)


OUTCOMES = st.sampled_from(["completed", "cancelled", "failed", "lost"])


@given(MONEY | st.none(), MONEY, MONEY, st.lists(st.tuples(OUTCOMES, SECONDS), max_size=5))
def test_whatever_becomes_of_its_attempts_a_job_pays_no_more_than_its_cap(cap, rate, storage, attempts) -> None:
    """Fees included; the recorded duration is the time that GPUs were held, whether it is billed or not."""
    capped = job(max_cost=cap, rate=str(rate), storage=str(storage))
    billed: list[Segment] = []
    for attempt, (outcome, seconds) in enumerate(attempts, 1):
        run = ended_run(outcome, attempt, seconds)
        segment = billed_segment(capped, billed, run, NOON)
        assert (segment is None) == (outcome == "lost")
        if segment:
            assert segment.seconds == pytest.approx(seconds, abs=1e-5)
            assert segment.started_at <= segment.finished_at <= (segment.released_at or segment.finished_at)
            billed.append(segment)
    pricing = capped.pricing.within(cap)
    total = pricing.total(billed) + pricing.storage
    assert total == capped.pricing.total(billed) + storage if cap is None else total <= cap


def ended_run(outcome: str, attempt: int, seconds: float) -> RunStatus:
    return RunStatus(
        external_job_id="run",
        job_id=new_id(),
        attempt=attempt,
        status="failed" if outcome == "lost" else outcome,
        stage="",
        progress=50,
        error=GONE if outcome == "lost" else None,
        started_at=NOON,
        finished_at=NOON + timedelta(seconds=seconds),
    )
