"""When a job's `max_cost` or `max_duration` ends it.

The run is told to finish early enough to save and deliver by then. What exceeds `max_cost` nevertheless is not billed.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from brightrun.contracts.events import JobQueued, Segment
from brightrun.scheduler.limits.models import Allowance, Limit

REACTION_SECONDS = 3.0
"""From the decision to when the trainer gets the signal."""

SAVES = 2
"""A run that ends writes twice a checkpoint's size: the checkpoint, and the adapter with its evaluation."""

DEFAULT_CHECKPOINT_SECONDS = 10.0
MAX_RESERVE_SHARE = 0.5
"""Of the allowance: a job trains at least as long as it takes to end."""

MICROSECONDS_PER_HOUR = Decimal(3_600_000_000)
MAX_DURATION = timedelta(days=10_000)


def has_limit(job: JobQueued) -> bool:
    """Whether the job has `max_cost` or `max_duration`."""
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
    """How long the segments held their GPUs together."""
    return sum(segment.seconds for segment in segments)


def reserve(allowed: float, checkpoint_seconds: float | None, step_seconds: float) -> float:
    """How many of the `allowed` seconds it takes to end a run, from the decision to its last event."""
    saving = DEFAULT_CHECKPOINT_SECONDS if checkpoint_seconds is None else checkpoint_seconds
    return min(REACTION_SECONDS + step_seconds + SAVES * saving, MAX_RESERVE_SHARE * allowed)


def stop_in(allowed: float, trained: float, checkpoint_seconds: float | None, step_seconds: float) -> timedelta:
    """How long a run that has `trained` for so many seconds goes on before it is told to finish."""
    left = allowed - reserve(allowed, checkpoint_seconds, step_seconds) - trained
    return min(timedelta(seconds=max(left, 0.0)), MAX_DURATION)


def billed_until(job: JobQueued, segments: Sequence[Segment], started_at: datetime, finished_at: datetime) -> datetime:
    """The end of the last billed segment: it costs no more than the job's `max_cost` leaves."""
    affordable = _affordable(job, segments)
    return finished_at if affordable is None else min(finished_at, started_at + affordable)


def _affordable(job: JobQueued, segments: Sequence[Segment]) -> timedelta | None:
    """How long the budget lasts after `segments`; None without one. The storage of the model is paid first."""
    if job.spec.max_cost is None:
        return None
    left = max(job.spec.max_cost - job.pricing.storage - job.pricing.total(segments), Decimal())
    if left >= job.pricing.hourly_rate * Decimal(MAX_DURATION.total_seconds()) / 3600:
        return MAX_DURATION
    return timedelta(microseconds=int(left * MICROSECONDS_PER_HOUR / job.pricing.hourly_rate))
