from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brightrun.api.costs.rules import between, last

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(("period", "days"), [("week", 7), ("month", 30), ("year", 365)])
def test_a_period_ends_now(period, days):
    assert last(period, NOON) == (NOON - timedelta(days=days), NOON)


def test_a_bare_end_date_includes_its_whole_day():
    assert between("2026-11-01", "2026-11-24") == (
        datetime(2026, 11, 1, tzinfo=UTC),
        datetime(2026, 11, 24, 23, 59, 59, 999_999, tzinfo=UTC),
    )


def test_times_are_taken_as_they_are_in_utc():
    start, end = between("2026-11-24T10:00:00+02:00", "2026-11-24T12:00:00")

    assert (start.isoformat(), end) == ("2026-11-24T08:00:00+00:00", NOON)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-11-25", "2026-11-24"),
        ("yesterday", "2026-11-24"),
        ("2026-02-30", "2026-11-24"),
        ("2026-11-24", ""),
        ("0001-01-01T00:00:00+14:00", "2026-11-24"),
    ],
)
def test_an_invalid_period_is_rejected(start, end):
    with pytest.raises(ValueError, match=r"start_date|neither a date"):
        between(start, end)


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_is_a_period_or_is_refused(start, end):
    try:
        first, until = between(start, end)
    except ValueError:
        return
    assert first <= until
