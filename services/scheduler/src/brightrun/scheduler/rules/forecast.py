"""When a waiting job will start, as far as anybody can tell."""

from bisect import insort
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import heapify, heappop, heappush
from typing import Literal
from uuid import UUID

from brightrun.scheduler.models import Running, Share, Waiting
from brightrun.scheduler.rules import fairness
from brightrun.scheduler.rules.capacity import ENDLESS
from brightrun.scheduler.rules.fairness import Room

NEVER = float("inf")
FARTHEST = 365 * 86_400
"""Seconds; what is farther away is not told."""
Reason = Literal["gpus", "quota", "cluster"]


@dataclass(frozen=True, slots=True)
class Place:
    """A job's place in the queue: 1 is next. `expected_start` is None when something it depends on is not known."""

    position: int
    ahead_gpus: int
    expected_start: datetime | None
    waits_for: Reason


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a forecast is made from.

    `pace`: how long finished jobs took, divided by how long they were expected to; None without any.
    """

    shares: Sequence[Share]
    rooms: Sequence[Room]
    running: Sequence[Running]
    now: datetime
    pace: float | None


def order(waiting: Iterable[Waiting], shares: Iterable[Share]) -> list[Waiting]:
    """The jobs in the order in which fairness would start them if all GPUs were alike."""
    users = {share.user_id: share for share in shares}
    lines: dict[UUID, list[Waiting]] = defaultdict(list)
    for job in waiting:
        lines[job.user_id].append(job)
    queues = {user_id: fairness.line(jobs)[::-1] for user_id, jobs in lines.items()}
    turns = [(fairness.rank(users[user_id], jobs[-1]), user_id) for user_id, jobs in queues.items()]
    heapify(turns)
    ordered = []
    while turns:
        _, user_id = heappop(turns)
        job = queues[user_id].pop()
        users[user_id] = fairness.charged(users[user_id], job)
        ordered.append(job)
        if queues[user_id]:
            heappush(turns, (fairness.rank(users[user_id], queues[user_id][-1]), user_id))
    return ordered


def place_of(job_id: UUID, ordered: Sequence[Waiting], outlook: Outlook) -> Place | None:
    """Where the job stands; None when it does not wait.

    Jobs ahead start in order, each as soon as enough GPUs are free; small ones that overtake are not foreseen.
    """
    position = next((index for index, job in enumerate(ordered) if job.job_id == job_id), None)
    if position is None:
        return None
    yard = _Yard(outlook)
    start = [yard.start(job) for job in ordered[: position + 1]][-1]
    return Place(
        position=position + 1,
        ahead_gpus=sum(ahead.gpus for ahead in ordered[:position]),
        expected_start=outlook.now + timedelta(seconds=start) if start < FARTHEST else None,
        waits_for=_reason(ordered[position], outlook),
    )


def _reason(job: Waiting, outlook: Outlook) -> Reason:
    share = next(share for share in outlook.shares if share.user_id == job.user_id)
    if share.quota is not None and share.gpus + job.gpus > share.quota:
        return "quota"
    return "gpus" if fairness.could_hold(outlook.rooms, job) else "cluster"


class _Yard:
    """Each GPU, and each GPU of a quota, as the moment when it will be free, in seconds from now."""

    def __init__(self, outlook: Outlook) -> None:
        self._pace = outlook.pace
        self._rooms = outlook.rooms
        ends = [(run, _seconds_until(run.ends_at, outlook.now)) for run in outlook.running]
        self._free_at = {room: _moments(room, ends) for room in outlook.rooms if room.total is not None}
        self._quota_at = {
            share.user_id: _fill(
                [end for run, end in ends if run.user_id == share.user_id for _ in range(run.gpus)], quota
            )
            for share in outlook.shares
            if (quota := share.quota) is not None
        }

    def start(self, job: Waiting) -> float:
        """Seconds until the job starts; it takes its GPUs from then on."""
        quota = self._quota_at.get(job.user_id)
        allowed = _nth(quota, job.gpus) if quota is not None else 0.0
        choices = [(_nth(self._free_at.get(room), job.gpus), room) for room in fairness.could_hold(self._rooms, job)]
        begin, room = min(choices, key=lambda choice: choice[0], default=(NEVER, None))
        begin = max(begin, allowed)
        end = begin + job.seconds * self._pace if self._pace is not None else NEVER
        for moments in (self._free_at.get(room) if room else None, quota):
            if moments is not None and len(moments) >= job.gpus:
                del moments[: job.gpus]
                for _ in range(job.gpus):
                    insort(moments, end)
        return begin


def _moments(room: Room, ends: Iterable[tuple[Running, float]]) -> list[float]:
    """When each GPU of the room is free; those that others use, nobody knows."""
    held = [
        end
        for run, end in ends
        if run.cluster == room.cluster and (room.types is None or run.gpu_type in room.types)
        for _ in range(run.gpus)
    ]
    total = min(room.total or 0, ENDLESS)
    foreign = max(total - room.free - len(held), 0)
    return _fill(held + [NEVER] * foreign, total)


def _fill(held: list[float], total: int) -> list[float]:
    return sorted([0.0] * (total - len(held)) + held)[:total]


def _nth(moments: Sequence[float] | None, gpus: int) -> float:
    """When so many are free at once."""
    if moments is None:
        return 0.0
    return moments[gpus - 1] if len(moments) >= gpus else NEVER


def _seconds_until(moment: datetime | None, now: datetime) -> float:
    return NEVER if moment is None else max((moment - now).total_seconds(), 0.0)
