from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from brightrun.api.accounts.models import LoginAttempts
from brightrun.api.accounts.rules import FORGOTTEN_AFTER, MAX_PAUSE, count_attempt
from tests.builders import NOON

FREE = 5


def pauses(tries: int) -> list[float]:
    """The seconds that follow each of so many attempts without a break."""
    state, found = LoginAttempts(0, NOON), []
    for _ in range(tries):
        state = count_attempt(state, FREE, NOON)
        found.append((state.blocked_until - NOON).total_seconds() if state.blocked_until else 0)
    return found


def test_four_attempts_are_free_and_each_after_them_costs_twice_the_wait():
    assert pauses(13) == [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]


@given(st.integers(0, 2**31 - 2))
def test_no_pause_exceeds_its_maximum(tries: int):
    after = count_attempt(LoginAttempts(tries, NOON), FREE, NOON)

    assert after.blocked_until is None or after.blocked_until - NOON <= MAX_PAUSE


def test_after_an_hour_it_begins_anew():
    tries = LoginAttempts(40, NOON)

    assert count_attempt(tries, FREE, NOON + FORGOTTEN_AFTER).count == 1
    assert count_attempt(tries, FREE, NOON + FORGOTTEN_AFTER - timedelta(seconds=1)).count == 41
