"""Points of a curve over the axis that is asked for."""

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from brightrun.api.comparison.models import Axis
from brightrun.api.jobs.models import Job
from brightrun.contracts.events import Segment

Measure = Callable[[dict[str, Any]], float | None]
"""From a point of the tracker to its place on an axis; None where that is unknown."""
Span = tuple[datetime, datetime | None]


def measure_of(job: Job, axis: Axis) -> Measure:
    """How the job's points are placed on the axis."""
    spans = _spans(job)
    match axis:
        case "step":
            return lambda point: point["step"]
        case "tokens":
            average = _tokens_per_step(job)
            return lambda point: None if average is None else point["step"] * average
        case "time":
            return lambda point: _trained_seconds(spans, point)
        case "cost":
            rate = float(job.pricing.hourly_rate / Decimal(3600))
            return lambda point: _trained_seconds(spans, point) * rate


def series_of(points: Sequence[dict[str, Any]], name: str, measure: Measure) -> tuple[list[float], list[float]]:
    """The places and values of the points at which `name` was measured."""
    places = [(measure(point), point[name]) for point in points if point.get(name) is not None]
    known = [(place, value) for place, value in places if place is not None]
    return [place for place, _ in known], [value for _, value in known]


def _tokens_per_step(job: Job) -> float | None:
    """How many tokens a step trained on average; None before the first report."""
    latest = job.latest
    if latest is None or not latest.step or not latest.trained_tokens:
        return None
    return latest.trained_tokens / latest.step


def _trained_seconds(spans: Sequence[Span], point: dict[str, Any]) -> float:
    """How long GPUs were held until the point, without pauses."""
    moment = datetime.fromisoformat(point["timestamp"])
    return sum(_seconds_until(moment, start, end) for start, end in spans)


def _spans(job: Job) -> list[Span]:
    """When it held GPUs; the last time may have no end yet."""
    ended: list[Span] = [_span(segment) for segment in job.segments]
    return [*ended, (job.run.started_at, None)] if job.run and job.run.started_at else ended


def _span(segment: Segment) -> tuple[datetime, datetime]:
    return segment.started_at, segment.released_at or segment.finished_at


def _seconds_until(moment: datetime, start: datetime, end: datetime | None) -> float:
    last = moment if end is None else min(moment, end)
    return max((last - start).total_seconds(), 0.0)
