"""When a webhook is sent again, and when it is given up."""

from datetime import datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brightrun.notifier.models import Reply, Verdict
from brightrun.notifier.rules.deliveries import MAX_WAIT, PAUSES, breaker_pause, disabled_reason, evaluate
from tests.builders import NOON

MIDDLE = 0.5


def reply(status: int | None, retry_after: str | None = None) -> Reply:
    return Reply(status, 12, None, retry_after)


def judged(answer: Reply, attempts: int = 0, chance: float = MIDDLE, now: datetime = NOON) -> Verdict:
    return evaluate(answer, attempts, chance, now)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is_a_success_at_any_time(status: int) -> None:
    assert judged(reply(status)) == judged(reply(status), attempts=8) == Verdict("delivered")


@pytest.mark.parametrize("status", [None, 100, 199, 301, 302, 307, 400, 401, 404, 408, 422, 429, 500, 503])
def test_everything_else_is_tried_nine_times_over_a_day(status: int | None) -> None:
    verdicts = [judged(reply(status), attempts) for attempts in range(9)]
    assert [verdict.status for verdict in verdicts] == ["pending"] * 8 + ["failed"]
    assert [verdict.pause for verdict in verdicts[:8]] == list(PAUSES)
    assert timedelta(hours=23) < sum(PAUSES, timedelta()) < timedelta(hours=25)
    assert list(PAUSES) == sorted(PAUSES)


@given(st.integers(0, 7), st.floats(0, 1, exclude_max=True))
def test_pauses_are_spread_by_a_tenth(attempts: int, chance: float) -> None:
    pause = judged(reply(500), attempts, chance).pause
    assert PAUSES[attempts] * 0.9 <= pause <= PAUSES[attempts] * 1.1


def test_a_410_is_final() -> None:
    assert judged(reply(410)) == Verdict("failed")


@pytest.mark.parametrize(
    ("retry_after", "pause"),
    [
        ("120", timedelta(seconds=120)),
        ("1", PAUSES[0]),
        ("0", PAUSES[0]),
        ("-5", PAUSES[0]),
        ("1.5", PAUSES[0]),
        ("soon", PAUSES[0]),
        ("", PAUSES[0]),
        ("٣", PAUSES[0]),
        ("9" * 5000, MAX_WAIT),
        (format_datetime(NOON + timedelta(hours=2), usegmt=True), timedelta(hours=2)),
        (format_datetime(NOON - timedelta(hours=2), usegmt=True), PAUSES[0]),
        (format_datetime(NOON + timedelta(days=400), usegmt=True), MAX_WAIT),
        ("Tue, 24 Nov 2026 13:00:00 -0000", timedelta(hours=1)),
    ],
)
def test_a_receiver_may_ask_for_a_longer_pause_up_to_a_day(retry_after: str, pause: timedelta) -> None:
    assert judged(reply(503, retry_after)) == Verdict("pending", pause)


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,7} \d\d:\d\d:\d\d [+-]\d{1,9}"))
def test_no_retry_after_is_a_surprise(retry_after: str) -> None:
    assert PAUSES[0] * 0.9 <= judged(reply(503, retry_after)).pause <= MAX_WAIT


def test_an_endpoint_is_disabled_after_a_410_or_five_days_of_failures() -> None:
    day = timedelta(days=1)
    assert disabled_reason(reply(410), NOON, NOON) == "gone"
    assert disabled_reason(reply(500), NOON - 5 * day, NOON) == "failing"
    assert disabled_reason(reply(None), NOON - 5 * day, NOON) == "failing"
    assert disabled_reason(reply(500), NOON - 5 * day + timedelta(seconds=1), NOON) is None


def test_an_endpoint_is_left_alone_for_longer_with_each_failure_in_a_row() -> None:
    seconds = [breaker_pause(failures).total_seconds() for failures in (0, 1, 2, 3, 4, 5, 7, 8, 10_000)]
    assert seconds == [0, 0, 0, 30, 60, 120, 480, 600, 600]
