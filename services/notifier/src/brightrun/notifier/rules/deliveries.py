"""When a webhook that did not go through is sent again, and when its endpoint is given up."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from brightrun.notifier.models import DisabledReason, Reply, Verdict

PAUSES = (
    timedelta(seconds=5),
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=8),
    timedelta(hours=8),
)
"""After the first failure, the second …: nine attempts over about 24 hours."""
JITTER = 0.1
MAX_WAIT = timedelta(days=1)
GIVE_UP_AFTER = timedelta(days=5)
BREAKER_FAILURES = 3
BREAKER_PAUSE = timedelta(seconds=30)
MAX_BREAKER_PAUSE = timedelta(minutes=10)
OLD_SECRET_SIGNS = timedelta(hours=24)


def evaluate(reply: Reply, attempts: int, chance: float, now: datetime) -> Verdict:
    """What `reply` means for a delivery after `attempts` others; `chance` in [0, 1) spreads retries out."""
    if reply.succeeded:
        return Verdict("delivered")
    if reply.status_code == HTTPStatus.GONE or attempts >= len(PAUSES):
        return Verdict("failed")
    pause = PAUSES[attempts] * (1 - JITTER + 2 * JITTER * chance)
    return Verdict("pending", max(pause, _asked_pause(reply.retry_after, now)))


def breaker_pause(failures: int) -> timedelta:
    """How long an endpoint is left alone after so many failures in a row; from the third on it doubles."""
    if failures < BREAKER_FAILURES:
        return timedelta(0)
    return min(BREAKER_PAUSE * (1 << min(failures - BREAKER_FAILURES, 10)), MAX_BREAKER_PAUSE)


def disabled_reason(reply: Reply, failing_since: datetime, now: datetime) -> DisabledReason | None:
    """Why an endpoint that answered so is sent nothing any more; None while it is."""
    if reply.status_code == HTTPStatus.GONE:
        return "gone"
    return "failing" if now - failing_since >= GIVE_UP_AFTER else None


def _asked_pause(retry_after: str | None, now: datetime) -> timedelta:
    """What a Retry-After header asks for, in seconds or as a date: a day at most, none where it makes no sense."""
    if retry_after is None:
        return timedelta(0)
    if retry_after.isascii() and retry_after.isdecimal():
        return timedelta(seconds=min(int(retry_after[:9]), MAX_WAIT.total_seconds()))
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return timedelta(0)
    return min(max(moment.replace(tzinfo=moment.tzinfo or UTC) - now, timedelta(0)), MAX_WAIT)
