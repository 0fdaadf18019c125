"""Which parts of finished runs may be removed, and in which order: pure decisions."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from brightrun.cluster.models import Leftover

SETTLED = timedelta(hours=1)

Part = Literal["dataset", "checkpoints", "run"]


@dataclass(frozen=True, slots=True)
class Removal:
    """A part of a run's folder: its data set, its checkpoints, or all of it."""

    run_id: str
    part: Part


def due(leftovers: Sequence[Leftover], needed: Collection[str], now: datetime, keep: timedelta) -> Iterator[Removal]:
    """What is too old: runs that ended before the period, and whose files, if any, were all fetched before as well.

    A completed run whose files nobody fetched stays until somebody does. `needed` runs are those that live runs are
    about to go on from.
    """
    for leftover in leftovers:
        if leftover.run_id in needed:
            continue
        if _settled(leftover, now, keep):
            yield Removal(leftover.run_id, "run")


def spare(leftovers: Sequence[Leftover], needed: Collection[str], now: datetime) -> Iterator[Removal]:
    """What can go early to make room, dearest last: data sets, checkpoints of completed runs, those of others, runs.

    A data set can be had again, a completed run has no use for its checkpoints; those of others may be resumed from.
    """
    for leftover in leftovers:
        yield Removal(leftover.run_id, "dataset")
    free = [leftover for leftover in leftovers if leftover.run_id not in needed]
    for leftover in sorted(free, key=lambda one: one.status != "completed"):
        yield Removal(leftover.run_id, "checkpoints")
    for leftover in free:
        if _settled(leftover, now, SETTLED):
            yield Removal(leftover.run_id, "run")


def _settled(leftover: Leftover, now: datetime, period: timedelta) -> bool:
    """Nothing of it was touched or is missed for this long."""
    if leftover.unfetched:
        return False
    last = max(leftover.finished_at, leftover.fetched_at or leftover.finished_at)
    return now - last > period
