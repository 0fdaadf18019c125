import pytest
from hypothesis import given
from hypothesis import strategies as st

from brightrun.api.errors import RateLimited
from brightrun.api.http.rate_limits import MIN_SWEEP, RateLimit, RateLimits


class Clock:
    def __init__(self) -> None:
        self.now = 1e9

    def __call__(self) -> float:
        return self.now


def spent(rate: RateLimit, caller: str = "ada") -> float:
    """0 where the request may pass, else the seconds that it has to wait."""
    try:
        rate.spend(caller)
    except RateLimited as error:
        return float(error.headers["Retry-After"])
    return 0


def test_a_burst_of_a_minutes_requests_is_allowed():
    clock = Clock()
    rate = RateLimit(60, clock)

    assert [spent(rate) for _ in range(61)] == [0] * 60 + [1]
    clock.now += 1
    assert [spent(rate) for _ in range(2)] == [0, 1]
    clock.now += 3600
    assert [spent(rate) for _ in range(61)] == [0] * 60 + [1]


def test_a_request_after_retry_after_is_allowed():
    clock = Clock()
    rate = RateLimit(7, clock)
    for _ in range(7):
        rate.spend("ada")
    clock.now += spent(rate)

    assert spent(rate) == 0


def test_callers_do_not_count_for_each_other():
    rate = RateLimit(1, Clock())

    assert [spent(rate, "ada"), spent(rate, "eve"), spent(rate, "ada")] == [0, 0, 60]


def test_a_rejected_request_is_not_counted():
    clock = Clock()
    rate = RateLimit(1, clock)
    assert [spent(rate) for _ in range(50)] == [0] + [60] * 49
    clock.now += 60

    assert spent(rate) == 0


def test_zero_is_no_limit():
    rate = RateLimit(0, Clock())

    assert not any(spent(rate) for _ in range(10_000))


@given(st.integers(1, 50), st.lists(st.floats(0, 30), max_size=200))
def test_no_minute_sees_more_than_twice_the_limit(limit: int, pauses: list[float]):
    clock = Clock()
    rate = RateLimit(limit, clock)
    passed = []
    for pause in pauses:
        clock.now += pause
        if spent(rate) == 0:
            passed.append(clock.now)

    for start in passed:
        assert sum(start <= moment < start + 60 for moment in passed) <= 2 * limit


def test_idle_callers_are_removed():
    clock = Clock()
    rate = RateLimit(60, clock)
    for n in range(20 * MIN_SWEEP):
        rate.spend(n)
        clock.now += 0.01

    assert len(rate._full_at) <= 2 * MIN_SWEEP


def test_a_sweep_forgets_no_debt():
    clock = Clock()
    rate = RateLimit(1, clock)
    rate.spend("ada")
    for n in range(2 * MIN_SWEEP):
        rate.spend(n)

    assert spent(rate) == 60


@pytest.mark.parametrize(
    ("method", "kind"), [("GET", "reads"), ("HEAD", "reads"), ("POST", "changes"), ("DELETE", "changes")]
)
def test_reads_and_changes_are_counted_separately(method: str, kind: str):
    rates = RateLimits(reads=1, changes=1, anonymous=1)

    assert rates.of(method) is getattr(rates, kind)
