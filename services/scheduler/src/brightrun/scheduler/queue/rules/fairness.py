"""Whose job is next, and where it goes.

Between users: start-time fair queueing (Goyal, Vin and Cheng, 1996) over GPU-seconds. A job is charged to its user, by
its expected length, when it starts, and corrected when it ends; the user with the least virtual time is next. A user
who returns joins at the clock of the others, and so cannot catch up.

Within a user: priority, then age. `URGENT`, which only an operator gives, goes before all users' shares.

A job that does not fit is bypassed by later ones that do, `MAX_BYPASSES` times; then GPUs are reserved for it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush
from typing import Any
from uuid import UUID

from brightrun.contracts.events import JobQueued
from brightrun.contracts.scheduling import Priority
from brightrun.scheduler.clusters.models import FreeGpus
from brightrun.scheduler.queue.models import Placement, Plan, UserShare, WaitingJob

MAX_BYPASSES = 8
PRIORITIES: Mapping[Priority, int] = {"low": 0, "normal": 1, "high": 2, "urgent": 3}
URGENT = PRIORITIES["urgent"]
DEFAULT_SECONDS = 3600.0
MIN_SECONDS = 1.0


def expected_seconds(job: JobQueued) -> float:
    """How long the job is expected to train: the estimated cost of compute, divided by the hourly rate."""
    compute = job.estimated_cost - job.pricing.storage
    if compute <= 0 or job.pricing.hourly_rate <= 0:
        return DEFAULT_SECONDS
    return max(float(compute / job.pricing.hourly_rate * 3600), MIN_SECONDS)


def candidates(free_gpus: Iterable[FreeGpus], job: WaitingJob) -> list[FreeGpus]:
    """Where the job may run some day: on its preferred cluster, if that is among them."""
    capable = [free for free in free_gpus if free.can_hold(job.needs)]
    return [free for free in capable if free.cluster == job.preferred_cluster] or capable


def in_order(waiting: Iterable[WaitingJob]) -> list[WaitingJob]:
    """One user's jobs in the order in which they are to run."""
    return sorted(waiting, key=lambda job: (-job.priority, job.queued_at, job.job_id))


def charged(share: UserShare, job: WaitingJob) -> UserShare:
    """The user's share once the job is placed."""
    used = job.gpus * job.seconds / share.weight
    return replace(share, gpus=share.gpus + job.gpus, virtual_time=share.virtual_time + used)


class Turns:
    """Users take turns, each with the first of its jobs. The user whose `shares` entry is least is next."""

    def __init__(self, waiting: Iterable[WaitingJob], shares: Mapping[UUID, UserShare]) -> None:
        self._shares = shares
        by_user: dict[UUID, list[WaitingJob]] = defaultdict(list)
        for job in waiting:
            by_user[job.user_id].append(job)
        self._queues = {user_id: in_order(jobs)[::-1] for user_id, jobs in by_user.items()}
        self._heap = [self._turn(user_id) for user_id in self._queues]
        heapify(self._heap)

    def __bool__(self) -> bool:
        return bool(self._heap)

    def pop(self) -> WaitingJob:
        """The next job; `push_next` puts its user's next one in line, by the share of then."""
        *_, user_id = heappop(self._heap)
        return self._queues[user_id].pop()

    def push_next(self, user_id: UUID) -> None:
        """Put the user's next job in line."""
        if self._queues[user_id]:
            heappush(self._heap, self._turn(user_id))

    def _turn(self, user_id: UUID) -> tuple[Any, ...]:
        head, share = self._queues[user_id][-1], self._shares[user_id]
        return head.priority != URGENT, share.virtual_time, head.queued_at, head.job_id, user_id


@dataclass
class _Allocation:
    """A cluster's GPUs while they are allocated. `reserved_for`: the only job that may have them."""

    gpus: FreeGpus
    free: int
    reserved_for: UUID | None = None


@dataclass
class Planner:
    """Makes one plan: users take turns until nothing more fits.

    `slots`: submissions that each cluster may be sent now. `waiting` may show no more than the first `visible` jobs of
    each user and shape: the plan ends where the next of them would be judged.
    """

    waiting: Iterable[WaitingJob]
    shares: Iterable[UserShare]
    free_gpus: Iterable[FreeGpus]
    clock: float
    slots: Mapping[str, int]
    visible: int

    def __post_init__(self) -> None:
        self.placements: list[Placement] = []
        self.bypassed: Counter[UUID] = Counter()
        self.users = {share.user_id: share for share in self.shares}
        self.allocations = [_Allocation(free, free.free) for free in self.free_gpus]
        self.open_slots = dict(self.slots)
        self.capable: dict[tuple[Any, ...], list[_Allocation]] = {}
        self.placed: Counter[tuple[Any, ...]] = Counter()
        self.blocked: dict[tuple[Any, ...], WaitingJob] = {}
        """The first job of each shape that finds no GPUs: the others of its shape would not either."""
        self.over_quota: dict[UUID, dict[int, WaitingJob]] = defaultdict(dict)
        """The first job of each size that its user's quota holds back."""

    def plan(self) -> Plan:
        turns = Turns(self.waiting, self.users)
        while turns and any(allocation.free > 0 for allocation in self.allocations):
            job = turns.pop()
            if not self._consider(job):
                break
            turns.push_next(job.user_id)
        return Plan(self.placements, self.bypassed, self.clock)

    def _consider(self, job: WaitingJob) -> bool:
        """Place the job if it may run; False when nothing after it can be judged."""
        shape = _shape(job)
        if shape in self.blocked or self._held_back(job):
            return True
        capable = self._capable(job)
        fitting = [
            allocation
            for allocation in capable
            if allocation.free >= job.gpus and allocation.reserved_for in (None, job.job_id)
        ]
        if not fitting and capable:
            self.blocked[shape] = job
            self._reserve(job, capable)
        elif fitting := [allocation for allocation in fitting if self.open_slots[allocation.gpus.cluster] > 0]:
            self._place(job, min(fitting, key=_emptiness))
            self.placed[shape] += 1
            return self.placed[shape] < self.visible
        return True

    def _capable(self, job: WaitingJob) -> list[_Allocation]:
        shape = _shape(job)
        if shape not in self.capable:
            capable = candidates((allocation.gpus for allocation in self.allocations), job)
            self.capable[shape] = [allocation for allocation in self.allocations if allocation.gpus in capable]
        return self.capable[shape]

    def _held_back(self, job: WaitingJob) -> bool:
        """Whether the user's quota, or an earlier job that waits for it, holds the job back."""
        share = self.users[job.user_id]
        over_quota = self.over_quota[job.user_id]
        if any(self._bypasses_left(earlier) <= 0 for earlier in over_quota.values()):
            return True
        if share.quota is None or share.gpus + job.gpus <= share.quota:
            return False
        if job.gpus <= share.quota:
            over_quota.setdefault(job.gpus, job)
        return True

    def _place(self, job: WaitingJob, allocation: _Allocation) -> None:
        share = self.users[job.user_id]
        self.clock = max(self.clock, share.virtual_time)
        self.users[job.user_id] = charged(share, job)
        allocation.free -= job.gpus
        self.open_slots[allocation.gpus.cluster] -= 1
        self.placements.append(Placement(job, allocation.gpus.cluster, job.gpus * job.seconds))
        for earlier in self.over_quota[job.user_id].values():
            self.bypassed[earlier.job_id] += 1
        for earlier in self.blocked.values():
            capable = self._capable(earlier)
            if allocation in capable:
                self.bypassed[earlier.job_id] += 1
                self._reserve(earlier, capable)

    def _reserve(self, job: WaitingJob, capable: list[_Allocation]) -> None:
        """Reserve the emptiest cluster for the job, once it has been bypassed often enough."""
        if self._bypasses_left(job) > 0 or any(allocation.reserved_for == job.job_id for allocation in capable):
            return
        if unreserved := [allocation for allocation in capable if allocation.reserved_for is None]:
            max(unreserved, key=_emptiness).reserved_for = job.job_id

    def _bypasses_left(self, job: WaitingJob) -> int:
        return MAX_BYPASSES - job.times_bypassed - self.bypassed[job.job_id]


def _emptiness(allocation: _Allocation) -> tuple[int, str]:
    return allocation.free, allocation.gpus.cluster


def _shape(job: WaitingJob) -> tuple[Any, ...]:
    """Jobs of a user that fit in the same places."""
    return job.user_id, job.needs, job.preferred_cluster
