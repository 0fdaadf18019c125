"""How points are packed, and which of them are worth drawing."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from tsdownsample import MinMaxLTTBDownsampler

from brightrun.contracts.events import JobProgress
from brightrun.tracker.models import (
    NOT_MEASURED,
    PACKED,
    QUANTITIES,
    Chunk,
    Curve,
    Floats,
    Integers,
)

Mask: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.bool]]"


def chunk_of(event: JobProgress) -> Chunk:
    """The event's points as they are stored. It has at least one."""
    steps = [point.step for point in event.points]
    return Chunk(
        job_id=event.job_id,
        attempt=event.attempt,
        seq=event.seq,
        first_step=min(steps),
        last_step=max(steps),
        packed=tuple(
            _pack([getattr(point, name, event.occurred_at.timestamp()) for point in event.points])
            for name in QUANTITIES
        ),
    )


def _pack(values: list[float | None]) -> bytes | None:
    """The bytes of one column of a chunk; None when nothing was measured."""
    return None if values.count(None) == len(values) else np.array(values, PACKED).tobytes()


def curve_of(chunks: Sequence[Chunk]) -> Curve:
    """The points of `chunks`."""
    chunks = sorted(chunks, key=lambda chunk: (chunk.attempt, chunk.seq))
    lengths = [chunk.length for chunk in chunks]
    return Curve(
        attempt=np.repeat(np.array([chunk.attempt for chunk in chunks], dtype=np.int64), lengths),
        columns={
            name: np.frombuffer(
                b"".join(
                    chunk.packed[place] or NOT_MEASURED * length for chunk, length in zip(chunks, lengths, strict=True)
                ),
                PACKED,
            )
            for place, name in enumerate(QUANTITIES)
        },
    )


def points_at(curve: Curve, indices: Integers) -> Curve:
    """The curve's points at `indices`, in their order."""
    columns = {name: values[indices] for name, values in curve.columns.items()}
    return Curve(curve.attempt[indices], columns)


def worth_drawing(curve: Curve, first: int, last: int, max_points: int) -> Integers:
    """Indices of at most `max_points` points with `first` ≤ step ≤ `last`, in the order of their steps.

    Of attempts that measured the same step the newest counts; within an attempt, which measures some steps again when
    it is resumed from a checkpoint, the last reading does. Both losses keep their extremes, and the validation losses,
    which are few, are kept whole as long as they fill at most half of the room.
    """
    valid = last_readings(curve, np.flatnonzero((curve.step >= first) & (curve.step <= last)))
    if len(valid) <= max_points:
        return valid
    training, validation = curve.losses
    some_validation = _thin(valid, curve.step, validation, max_points // 2)
    some_training = _thin(valid, curve.step, training, max_points - len(some_validation))
    return among(valid, some_validation, some_training)


def last_readings(curve: Curve, indices: Integers) -> Integers:
    """Those of `indices` that no other has measured again, in the order of their steps."""
    ordered = indices[np.argsort(curve.step[indices], kind="stable")]
    newest = ordered[_is_newest(curve.step[ordered], curve.attempt[ordered])]
    again = [_is_measured_again(curve.step[newest], loss[newest]) for loss in curve.losses]
    return newest[~np.logical_or(*again)]


def _is_newest(steps: Floats, attempts: Integers) -> Mask:
    """Which points belong to the highest attempt of their step; `steps` rise, and within one the attempts do."""
    if len(steps) == 0 or attempts.min() == attempts.max():
        return np.ones(len(steps), dtype=bool)
    last_of_step = np.searchsorted(steps, steps, side="right") - 1
    newest: Mask = attempts == attempts[last_of_step]
    return newest


def _is_measured_again(steps: Floats, losses: Floats) -> Mask:
    """Which points have a loss although a later one of the same step has it too; `steps` rise."""
    again = np.zeros(len(steps), dtype=bool)
    measured = np.flatnonzero(np.isfinite(losses))
    again[measured[:-1]] = steps[measured[:-1]] == steps[measured[1:]]
    return again


def among(indices: Integers, *chosen: Integers) -> Integers:
    """Those of `indices` that are among the `chosen`, in their order."""
    kept = np.zeros(indices.max(initial=-1) + 1, dtype=bool)
    kept[np.concatenate(chosen)] = True
    found: Integers = indices[kept[indices]]
    return found


def _thin(indices: Integers, steps: Floats, losses: Floats, room: int) -> Integers:
    """At most `room` of `indices`, all with a loss: those that keep the curve's shape (MinMaxLTTB), and its extremes.

    MinMaxLTTB: Van Der Donckt et al., "MinMaxLTTB: Leveraging MinMax-Preselection to Scale LTTB" (2023).
    """
    measured = indices[np.isfinite(losses[indices])]
    if len(measured) <= room:
        return measured
    curve = losses[measured]
    shape = MinMaxLTTBDownsampler().downsample(steps[measured], curve, n_out=room - 2)  # type: ignore[no-untyped-call]
    extremes = [int(curve.argmin()), int(curve.argmax())]
    return measured[np.union1d(shape.astype(np.int64), extremes)]


def reading_at(step: int, steps: bytes | None, values: bytes | None) -> float | None:
    """The last value of a packed column that was measured at `step` or before."""
    if steps is None or values is None:
        return None
    column = np.frombuffer(values, PACKED)
    measured = np.flatnonzero((np.frombuffer(steps, PACKED) <= step) & ~np.isnan(column))
    return float(column[measured[-1]]) if len(measured) else None
