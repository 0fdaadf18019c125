"""What a fact says in the event log, what it costs, and which points of a curve are worth drawing."""

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
from tsdownsample import MinMaxLTTBDownsampler

from brightrun.contracts.events import ArtifactReady, JobCompleted, JobProgress, JobQueued, JobStarted
from brightrun.contracts.job_status import JobStatus
from brightrun.tracker.models import PACKED, QUANTITIES, Chunk, Cost, Curve, Entry, Floats, Integers, Level

Fact: TypeAlias = JobQueued | JobStarted | JobCompleted | ArtifactReady


def entry_of(fact: Fact) -> Entry:
    """The line of the event log that tells of `fact`."""
    match fact:
        case JobQueued():
            return _queued(fact)
        case JobStarted():
            return _started(fact)
        case JobCompleted():
            return _completed(fact)
        case ArtifactReady():
            return _artifact_ready(fact)


def _queued(fact: JobQueued) -> Entry:
    return Entry(
        job_id=fact.job_id,
        source="queued",
        type="queued",
        message=f'Queued to train on "{fact.dataset.name}" with {fact.gpu.count}x {fact.gpu.type}.',
        data={"training_pairs": fact.dataset.training_pairs, "estimated_cost": f"{fact.estimated_cost:.4f}"},
        occurred_at=fact.occurred_at,
    )


def _started(fact: JobStarted) -> Entry:
    return Entry(
        job_id=fact.job_id,
        source=f"started:{fact.attempt}",
        type="started",
        message=f"Attempt {fact.attempt} was taken by the cluster {fact.cluster}.",
        data={"attempt": fact.attempt, "cluster": fact.cluster, "external_job_id": fact.external_job_id},
        occurred_at=fact.occurred_at,
    )


def _completed(fact: JobCompleted) -> Entry:
    level, message = _ending(fact)
    return Entry(
        job_id=fact.job_id,
        source="completed",
        type=fact.outcome.value,
        level=level,
        message=message,
        data={
            "attempt": fact.attempt,
            "trained_tokens": fact.trained_tokens,
            "error": fact.error and fact.error.model_dump(mode="json"),
        },
        occurred_at=fact.occurred_at,
    )


def _ending(fact: JobCompleted) -> tuple[Level, str]:
    match fact.outcome:
        case JobStatus.COMPLETED:
            return "info", f"Training is complete after {fact.trained_tokens} tokens."
        case JobStatus.CANCELLED:
            return "warn", "The job was cancelled."
        case JobStatus.FAILED:
            return "error", fact.error.message if fact.error else "The job failed; the cluster gave no reason."


def _artifact_ready(fact: ArtifactReady) -> Entry:
    return Entry(
        job_id=fact.job_id,
        source="artifact_ready",
        type="artifact_ready",
        message=f"The model is stored and verified: {len(fact.files)} files.",
        data={"artifact_id": str(fact.artifact_id), "quality_score": fact.quality.score},
        occurred_at=fact.occurred_at,
    )


def stages_of(events: Iterable[JobProgress]) -> list[Entry]:
    """An entry for each stage of an attempt, told by the first of `events` that is in it."""
    entries: dict[tuple[object, str], Entry] = {}
    for event in events:
        source = f"stage:{event.attempt}:{event.stage}"
        entries.setdefault(
            (event.job_id, source),
            Entry(
                job_id=event.job_id,
                source=source,
                type="stage_changed",
                message=f"Attempt {event.attempt} entered the stage {event.stage}.",
                data={"attempt": event.attempt, "stage": event.stage, "step": event.step},
                occurred_at=event.occurred_at,
            ),
        )
    return list(entries.values())


def cost_of(fact: Fact) -> Cost | None:
    """What `fact` adds to the ledger: compute once the job is over, storage once its model is stored."""
    match fact:
        case JobCompleted(started_at=started_at) if started_at is not None:
            return Cost(
                job_id=fact.job_id,
                user_id=fact.user_id,
                attempt=fact.attempt,
                cost_type="compute",
                amount=fact.pricing.compute_cost(started_at, fact.finished_at),
                recorded_at=fact.occurred_at,
                details={
                    "hourly_rate": f"{fact.pricing.hourly_rate:.4f}",
                    "started_at": started_at.isoformat(),
                    "finished_at": fact.finished_at.isoformat(),
                    "gpu": fact.gpu.model_dump(mode="json"),
                },
            )
        case ArtifactReady():
            return Cost(
                job_id=fact.job_id,
                user_id=fact.user_id,
                attempt=0,
                cost_type="storage",
                amount=fact.pricing.storage,
                recorded_at=fact.occurred_at,
                details={"artifact_id": str(fact.artifact_id), "bytes": sum(file.size for file in fact.files)},
            )
        case _:
            return None


def chunk_of(event: JobProgress) -> Chunk:
    """The event's points as they are stored. It has at least one."""
    steps = [point.step for point in event.points]
    return Chunk(
        job_id=event.job_id,
        attempt=event.attempt,
        seq=event.seq,
        first_step=min(steps),
        last_step=max(steps),
        packed=tuple(_pack([getattr(point, name) for point in event.points]) for name in QUANTITIES),
    )


def _pack(values: list[float | None]) -> bytes | None:
    """The bytes of one column of a chunk; None when every value is."""
    if all(value is None for value in values):
        return None
    return np.array(values, PACKED).tobytes()


def worth_drawing(curve: Curve, first: int, last: int, max_points: int) -> Integers:
    """Indices of at most `max_points` points with `first` ≤ step ≤ `last`, in the order of their steps.

    Of attempts that measured the same step the newest counts; within an attempt, which measures some steps again when
    it is resumed from a checkpoint, the last reading does. Both losses keep their extremes, and the validation losses,
    which are few, are kept whole as long as they fill at most half of the room.
    """
    inside = np.flatnonzero((curve.step >= first) & (curve.step <= last))
    ordered = inside[np.lexsort((curve.seq[inside], curve.attempt[inside], curve.step[inside]))]
    newest = ordered[_is_newest(curve.step[ordered], curve.attempt[ordered])]
    again = [
        _is_measured_again(curve.step[newest], loss[newest]) for loss in (curve.training_loss, curve.validation_loss)
    ]
    newest = newest[~np.logical_or(*again)]
    if len(newest) <= max_points:
        return newest
    validation = _thin(newest, curve.step, curve.validation_loss, max_points // 2)
    training = _thin(newest, curve.step, curve.training_loss, max_points - len(validation))
    kept = np.zeros(len(curve.step), dtype=bool)
    kept[validation] = kept[training] = True
    return newest[kept[newest]]


def _is_newest(steps: Floats, attempts: Integers) -> "np.ndarray[tuple[int], np.dtype[np.bool]]":
    """Which points belong to the highest attempt of their step; `steps` rise, and within one the attempts do."""
    if len(steps) == 0 or attempts.min() == attempts.max():
        return np.ones(len(steps), dtype=bool)
    last_of_step = np.searchsorted(steps, steps, side="right") - 1
    newest: np.ndarray[tuple[int], np.dtype[np.bool]] = attempts == attempts[last_of_step]
    return newest


def _is_measured_again(steps: Floats, losses: Floats) -> "np.ndarray[tuple[int], np.dtype[np.bool]]":
    """Which points have a loss although a later one of the same step has it too; `steps` rise."""
    again = np.zeros(len(steps), dtype=bool)
    measured = np.flatnonzero(np.isfinite(losses))
    again[measured[:-1]] = steps[measured[:-1]] == steps[measured[1:]]
    return again


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
