"""Periods of cost reports, and moments of filters."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

Period = Literal["week", "month", "year"]
LENGTHS: dict[Period, timedelta] = {
    "week": timedelta(days=7),
    "month": timedelta(days=30),
    "year": timedelta(days=365),
}


def last(period: Period, now: datetime) -> tuple[datetime, datetime]:
    """The period that ends now."""
    return now - LENGTHS[period], now


def between(start: str, end: str) -> tuple[datetime, datetime]:
    """From `start` to `end`, both included; a bare end date includes its whole day. Raises ValueError."""
    first, until = first_moment(start), last_moment(end)
    if first > until:
        raise ValueError("start_date is after end_date")
    return first, until


def first_moment(text: str) -> datetime:
    """The moment of a text; of a date, its beginning. Raises ValueError."""
    return _moment(text, time.min)


def last_moment(text: str) -> datetime:
    """The moment of a text; of a date, its end. Raises ValueError."""
    return _moment(text, time.max)


def _moment(text: str, time_of_day: time) -> datetime:
    """An ISO 8601 date or time; without an offset it is in UTC."""
    try:
        return datetime.combine(date.fromisoformat(text), time_of_day, UTC)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is neither a date (2026-11-24) nor a time (2026-11-24T12:00:00Z)") from None
