"""Which parts of finished runs are deleted, and in which order: pure decisions."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta

from brightrun.cluster.retention.models import Deletion, FinishedRun
from brightrun.contracts.cluster_api import RunStatus

MIN_KEEP = timedelta(hours=1)


def with_promised_checkpoints(runs: Sequence[FinishedRun], now: datetime, keep: timedelta) -> frozenset[str]:
    """The runs whose checkpoints their users can still go on from: of those that did not complete."""
    return frozenset(run.run_id for run in runs if run.status != "completed" and now - run.finished_at < keep)


def checkpoints_kept_until(run: RunStatus, keep_checkpoint_days: float, keep_run_days: float) -> datetime | None:
    """Until when a finished run has its checkpoints; a live run replaces them by newer ones, at unknown times.

    Those of a completed run are not promised: they go early if the disk fills up.
    """
    if run.finished_at is None:
        return None
    return run.finished_at + timedelta(days=keep_run_days if run.status == "completed" else keep_checkpoint_days)


def expired(runs: Sequence[FinishedRun], needed: Collection[str], now: datetime, keep: timedelta) -> Iterator[Deletion]:
    """Runs that ended, and whose files, if any, were all downloaded, longer ago than `keep`.

    A completed run whose files nobody downloaded stays until somebody does. `needed` are those that live runs are
    about to start from, or that users were promised.
    """
    for run in runs:
        if run.run_id not in needed and _unused_for(run, now, keep):
            yield Deletion(run.run_id, "run")


def early_deletions(runs: Sequence[FinishedRun], needed: Collection[str], now: datetime) -> Iterator[Deletion]:
    """What can go early to free space, in order: data sets, checkpoints of completed runs, those of others, runs.

    A data set can be downloaded again, a completed run does not use its checkpoints; others may be resumed from theirs.
    """
    for run in runs:
        yield Deletion(run.run_id, "dataset")
    deletable = [run for run in runs if run.run_id not in needed]
    for run in sorted(deletable, key=lambda run: run.status != "completed"):
        yield Deletion(run.run_id, "checkpoints")
    for run in deletable:
        if _unused_for(run, now, MIN_KEEP):
            yield Deletion(run.run_id, "run")


def _unused_for(run: FinishedRun, now: datetime, period: timedelta) -> bool:
    """No file is still to be downloaded, and the last use is longer ago than the period."""
    if run.not_downloaded:
        return False
    last_use = max(run.finished_at, run.downloaded_at or run.finished_at)
    return now - last_use > period
