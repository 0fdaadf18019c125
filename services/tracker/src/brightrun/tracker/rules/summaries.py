"""Which points a summary keeps, and where summaries may stand for the chunks that they were made of."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from tsdownsample import MinMaxDownsampler

from brightrun.tracker.models import QUANTITIES, Chunk, Curve, Floats, Gap, Integers, Span, Summary
from brightrun.tracker.rules.curves import among, curve_of, last_readings


@dataclass(frozen=True, slots=True)
class SummaryPolicy:
    """How summaries are made.

    `check_each`: one of so many events has its curve checked for chunks without a summary. A summary stands for at
    least `points` points and keeps at most `kept`: as many as fit, with all quantities, into one page of the database.
    """

    check_each: int = 32
    points: int = 2048
    kept: int = 96


POLICY = SummaryPolicy()

FIRST, LAST = (0, 0), (2**31 - 1, 2**31 - 1)
"""Before and after every `(attempt, seq)`."""


def summaries_of(chunks: Sequence[Chunk], after: int, policy: SummaryPolicy = POLICY) -> Iterator[Summary]:
    """Summaries of the chunks of one attempt that follow the event `after`, in the order of their events.

    Together they stand for every event up to the last that is summarized, also for those that may still come late.
    """
    waiting: list[Chunk] = []
    points = 0
    for chunk in chunks:
        waiting.append(chunk)
        points += chunk.length
        if points >= policy.points:
            yield Summary(_summarize(waiting, after + 1, policy.kept), chunk.seq)
            waiting, points, after = [], 0, chunk.seq


def _summarize(chunks: Sequence[Chunk], seq: int, limit: int) -> Chunk:
    curve = curve_of(chunks)
    kept = _shape(curve, limit)
    return Chunk(
        job_id=chunks[0].job_id,
        attempt=chunks[0].attempt,
        seq=seq,
        first_step=min(chunk.first_step for chunk in chunks),
        last_step=max(chunk.last_step for chunk in chunks),
        packed=tuple(_pack(curve.columns[name][kept]) for name in QUANTITIES),
    )


def _pack(column: Floats) -> bytes | None:
    """The column's bytes; None where there are points and none of them was measured."""
    return None if len(column) and np.isnan(column).all() else column.tobytes()


def _shape(curve: Curve, limit: int) -> Integers:
    """The points with the lowest and the highest training loss of each part; validation losses have up to a third.

    This is the first half of MinMaxLTTB, which a chart's thinning goes on with.
    """
    valid = last_readings(curve, np.arange(len(curve.step)))
    training, validation = curve.losses
    some_validation = _extremes(valid, validation, limit // 3)
    return among(valid, some_validation, _extremes(valid, training, limit - len(some_validation)))


def _extremes(indices: Integers, losses: Floats, room: int) -> Integers:
    """At most `room` of `indices`, all with a loss; all of them if they fit."""
    measured: Integers = indices[np.isfinite(losses[indices])]
    if len(measured) > room:
        found = MinMaxDownsampler().downsample(losses[measured], n_out=room - room % 2)  # type: ignore[no-untyped-call]
        measured = measured[found.astype(np.int64)]
    return measured


def gaps(spans: Sequence[Span], after: tuple[int, int] = FIRST, before: tuple[int, int] = LAST) -> list[Gap]:
    """The events between `after` and `before` that no summary stands for; `spans` are in the order of the events."""
    found = []
    for span in spans:
        if (span.attempt, span.seq - 1) > after:
            found.append(Gap(after, (span.attempt, span.seq)))
        after = (span.attempt, span.last_seq)
    return [*found, Gap(after, before)]


def events_of(span: Span) -> Gap:
    """The events that a summary stands for."""
    return Gap((span.attempt, span.seq - 1), (span.attempt, span.last_seq + 1))


def split_spans(
    spans: Sequence[Span], others: Sequence[Chunk], first: int, last: int, max_points: int
) -> tuple[list[Span], list[Span]]:
    """Of the spans that reach into the window: whose summaries will do, and whose chunks have to be read.

    A summary will do where all of it is to be drawn, nothing else (also of the `others`, which have no summary) tells
    of the same steps, and summaries hold enough points between them.
    """
    near = [span for span in spans if span.last_step >= first and span.first_step <= last]
    ranges = [(span.first_step, span.last_step) for span in near]
    crossed = _cross([*ranges, *((chunk.first_step, chunk.last_step) for chunk in others)])
    enough = [
        span
        for span, crosses in zip(near, crossed, strict=False)
        if not crosses and first <= span.first_step and span.last_step <= last
    ]
    if sum(span.kept for span in enough) < max_points:
        return [], near
    chosen = set(enough)
    return enough, [span for span in near if span not in chosen]


def _cross(ranges: Sequence[tuple[int, int]]) -> list[bool]:
    """Which of the ranges have a step in common with another."""
    if not ranges:
        return []
    starts, ends = np.array(ranges, dtype=np.int64).T
    order = np.argsort(starts, kind="stable")
    crosses = np.zeros(len(ranges), dtype=bool)
    crosses[order[1:]] = starts[order][1:] <= np.maximum.accumulate(ends[order])[:-1]
    crosses[order[:-1]] |= ends[order][:-1] >= starts[order][1:]
    found: list[bool] = crosses.tolist()
    return found
