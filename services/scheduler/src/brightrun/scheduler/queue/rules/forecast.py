"""When a waiting job will start, as far as that can be known."""

from bisect import insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from brightrun.contracts.scheduling import QueuePosition, WaitReason
from brightrun.scheduler.clusters.models import FreeGpus
from brightrun.scheduler.clusters.rules import UNLIMITED
from brightrun.scheduler.queue.models import RunningGpus, UserShare, WaitingJob
from brightrun.scheduler.queue.rules.fairness import Turns, candidates, charged

NEVER = float("inf")
MAX_SECONDS = 365 * 86_400
"""A later start is not forecast."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a forecast is made from.

    `duration_ratio`: how long finished jobs took, divided by how long they were expected to; None without any.
    """

    shares: Sequence[UserShare]
    free_gpus: Sequence[FreeGpus]
    running: Sequence[RunningGpus]
    now: datetime
    duration_ratio: float | None


def order(waiting: Iterable[WaitingJob], shares: Iterable[UserShare]) -> list[WaitingJob]:
    """The jobs in the order in which fairness would start them if all GPUs were alike."""
    users = {share.user_id: share for share in shares}
    turns = Turns(waiting, users)
    ordered = []
    while turns:
        job = turns.pop()
        users[job.user_id] = charged(users[job.user_id], job)
        ordered.append(job)
        turns.push_next(job.user_id)
    return ordered


def position_of(job_id: UUID, ordered: Sequence[WaitingJob], snapshot: Snapshot) -> QueuePosition | None:
    """The job's position and expected start; None when it does not wait.

    Jobs ahead start in order, each as soon as enough GPUs are free; bypasses by small jobs are not forecast.
    """
    index = next((index for index, job in enumerate(ordered) if job.job_id == job_id), None)
    if index is None:
        return None
    timeline = _Timeline(snapshot)
    start = [timeline.start(job) for job in ordered[: index + 1]][-1]
    return QueuePosition(
        position=index + 1,
        ahead_gpus=sum(ahead.gpus for ahead in ordered[:index]),
        expected_start=snapshot.now + timedelta(seconds=start) if start < MAX_SECONDS else None,
        waits_for=_reason(ordered[index], snapshot),
    )


def _reason(job: WaitingJob, snapshot: Snapshot) -> WaitReason:
    share = next(share for share in snapshot.shares if share.user_id == job.user_id)
    if share.quota is not None and share.gpus + job.gpus > share.quota:
        return "quota"
    return "gpus" if candidates(snapshot.free_gpus, job) else "cluster"


class _Timeline:
    """When each GPU, and each GPU of a quota, will be free, in seconds from now."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._duration_ratio = snapshot.duration_ratio
        self._free_gpus = snapshot.free_gpus
        ends = [(run, _seconds_until(run.ends_at, snapshot.now)) for run in snapshot.running]
        self._free_at = {free: _times(free, ends) for free in snapshot.free_gpus if free.total is not None}
        self._quota_at = {
            share.user_id: _fill(
                [end for run, end in ends if run.user_id == share.user_id for _ in range(run.gpus)], quota
            )
            for share in snapshot.shares
            if (quota := share.quota) is not None
        }

    def start(self, job: WaitingJob) -> float:
        """Seconds until the job starts; it takes its GPUs from then on."""
        quota = self._quota_at.get(job.user_id)
        allowed = _nth(quota, job.gpus) if quota is not None else 0.0
        choices = [(_nth(self._free_at.get(free), job.gpus), free) for free in candidates(self._free_gpus, job)]
        begin, chosen = min(choices, key=lambda choice: choice[0], default=(NEVER, None))
        begin = max(begin, allowed)
        end = begin + job.seconds * self._duration_ratio if self._duration_ratio is not None else NEVER
        for times in (self._free_at.get(chosen) if chosen else None, quota):
            if times is not None and len(times) >= job.gpus:
                del times[: job.gpus]
                for _ in range(job.gpus):
                    insort(times, end)
        return begin


def _times(free: FreeGpus, ends: Iterable[tuple[RunningGpus, float]]) -> list[float]:
    """When each of the cluster's GPUs is free; the end of those that others use is unknown."""
    held = [
        end
        for run, end in ends
        if run.cluster == free.cluster and (free.types is None or run.gpu_type in free.types)
        for _ in range(run.gpus)
    ]
    total = min(free.total or 0, UNLIMITED)
    foreign = max(total - free.free - len(held), 0)
    return _fill(held + [NEVER] * foreign, total)


def _fill(held: list[float], total: int) -> list[float]:
    return sorted([0.0] * (total - len(held)) + held)[:total]


def _nth(times: Sequence[float] | None, gpus: int) -> float:
    """When so many are free at once."""
    if times is None:
        return 0.0
    return times[gpus - 1] if len(times) >= gpus else NEVER


def _seconds_until(moment: datetime | None, now: datetime) -> float:
    return NEVER if moment is None else max((moment - now).total_seconds(), 0.0)
