"""When a job's `max_cost` or `max_duration` ends it.

It is told to finish early enough to have saved and delivered by then. What still passes `max_cost` is not billed.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from brightrun.contracts.events import JobQueued, Segment
from brightrun.scheduler.models import Allowance

REACTION_SECONDS = 3.0
"""From the decision to when the trainer hears of it."""

SAVES = 2
"""What an ending writes is of a checkpoint's size: the checkpoint, and the adapter with its evaluation."""

USUAL_CHECKPOINT_SECONDS = 10.0
MAX_OF_ALLOWANCE = 0.5
"""No reserve takes more of what is left: a job shall train too."""

MICROSECONDS_AN_HOUR = Decimal(3_600_000_000)
LONGEST = timedelta(days=10_000)

Limit = Literal["budget", "duration"]


def has_limit(job: JobQueued) -> bool:
    """Whether the job must not cost or last longer than its user said."""
    return job.spec.max_cost is not None or job.spec.max_duration is not None


def allowance(job: JobQueued, segments: Sequence[Segment]) -> Allowance | None:
    """How long the job's next attempt may train, after the `segments` that are billed; None without a limit."""
    left: list[tuple[float, Limit]] = []
    if (budget := _affordable(job, segments)) is not None:
        left.append((budget.total_seconds(), "budget"))
    if job.spec.max_duration is not None:
        left.append((max(job.spec.max_duration - trained_seconds(segments), 0.0), "duration"))
    return Allowance(*min(left)) if left else None


def trained_seconds(segments: Sequence[Segment]) -> float:
    """How long the segments are together."""
    return sum((one.finished_at - one.started_at).total_seconds() for one in segments)


def reserve(allowed: float, checkpoint_seconds: float | None, step_seconds: float) -> float:
    """How many of the `allowed` seconds it takes to end a run, from the decision to its last word."""
    saving = USUAL_CHECKPOINT_SECONDS if checkpoint_seconds is None else checkpoint_seconds
    return min(REACTION_SECONDS + step_seconds + SAVES * saving, MAX_OF_ALLOWANCE * allowed)


def stop_in(allowed: float, trained: float, checkpoint_seconds: float | None, step_seconds: float) -> timedelta:
    """How long from now a run that has `trained` for so long goes on before it is told to finish."""
    left = allowed - reserve(allowed, checkpoint_seconds, step_seconds) - trained
    return min(timedelta(seconds=max(left, 0.0)), LONGEST)


def billed_until(job: JobQueued, segments: Sequence[Segment], started_at: datetime, finished_at: datetime) -> datetime:
    """The end of a last segment that does not cost more than the job's `max_cost` leaves."""
    affordable = _affordable(job, segments)
    return finished_at if affordable is None else min(finished_at, started_at + affordable)


def _affordable(job: JobQueued, segments: Sequence[Segment]) -> timedelta | None:
    """How long the job can still be paid for; None where nothing limits it. The storage of its model is paid first."""
    if job.spec.max_cost is None:
        return None
    left = max(job.spec.max_cost - job.pricing.storage - job.pricing.total(segments), Decimal())
    if left >= job.pricing.hourly_rate * Decimal(LONGEST.total_seconds()) / 3600:
        return LONGEST
    return timedelta(microseconds=int(left * MICROSECONDS_AN_HOUR / job.pricing.hourly_rate))
