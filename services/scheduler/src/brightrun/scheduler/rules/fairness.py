"""Whose job is next, and where it goes.

Between users: start-time fair queueing (Goyal, Vin and Cheng, 1996) over GPU-seconds. A job is charged to its user, by
its expected length, when it starts, and corrected when it ends; the user with the least virtual time is next. Who was
away joins at the clock of those who were not, and so has nothing to catch up with.

Within a user: urgency, then age. `URGENT`, which only an operator gives, goes before all users' shares.

A job that does not fit is overtaken by later ones that do, `OVERTAKES` times at most; then GPUs are kept free for it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import heapify, heappop, heappush
from typing import Any
from uuid import UUID

from brightrun.scheduler.models import Placement, Share, Waiting

OVERTAKES = 8
URGENCY = {"low": 0, "normal": 1, "high": 2, "urgent": 3}
URGENT = URGENCY["urgent"]


@dataclass(frozen=True, slots=True)
class Room:
    """GPUs of a cluster that can be used now. `types` None: of any type; `total` None: nobody knows how many."""

    cluster: str
    types: frozenset[str] | None
    total: int | None
    free: int

    def could_hold(self, job: Waiting) -> bool:
        """Whether the job fits when nothing else runs."""
        return (self.types is None or job.gpu_type in self.types) and (self.total is None or job.gpus <= self.total)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be submitted, in order; how often jobs were overtaken by it; what the clock shows afterwards."""

    placements: Sequence[Placement]
    overtaken: Mapping[UUID, int]
    clock: float


def plan(
    waiting: Iterable[Waiting],
    shares: Iterable[Share],
    rooms: Iterable[Room],
    clock: float,
    *,
    slots: Mapping[str, int],
    visible: int,
) -> Plan:
    """Fill the rooms as far as rules and `slots`, the submissions that each cluster may be sent now, let us.

    `waiting` may show no more than the first `visible` jobs of each user and shape: the plan ends where the next of
    them would be judged.
    """
    return _Turn(waiting, shares, rooms, clock, slots, visible).run()


def urgency_of(priority: str) -> int:
    """A priority's rank; one that is not known counts as normal."""
    return URGENCY.get(priority, URGENCY["normal"])


def could_hold(rooms: Iterable[Room], job: Waiting) -> list[Room]:
    """The rooms where the job may run some day: those of its home, if they are among them."""
    capable = [room for room in rooms if room.could_hold(job)]
    return [room for room in capable if room.cluster == job.home] or capable


def line(waiting: Iterable[Waiting]) -> list[Waiting]:
    """One user's jobs in the order in which they are to run."""
    return sorted(waiting, key=lambda job: (-job.urgency, job.queued_at, job.job_id))


def rank(share: Share, head: Waiting) -> tuple[Any, ...]:
    """Compares users by whose next job is first."""
    return head.urgency != URGENT, share.virtual_time, head.queued_at, head.job_id


def charged(share: Share, job: Waiting) -> Share:
    """The user's share once the job is placed."""
    used = job.gpus * job.seconds / share.weight
    return replace(share, gpus=share.gpus + job.gpus, virtual_time=share.virtual_time + used)


@dataclass
class _Place:
    """A room while it fills. `kept_for`: the job that its GPUs are kept free for."""

    room: Room
    free: int
    kept_for: UUID | None = None


@dataclass
class _Turn:
    """One planning: users take turns until nothing more fits."""

    waiting: Iterable[Waiting]
    shares: Iterable[Share]
    rooms: Iterable[Room]
    clock: float
    slots: Mapping[str, int]
    visible: int
    placements: list[Placement] = field(default_factory=list)
    overtaken: Counter[UUID] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.users = {share.user_id: share for share in self.shares}
        self.places = [_Place(room, room.free) for room in self.rooms]
        self.open_slots = dict(self.slots)
        self.capable: dict[tuple[Any, ...], list[_Place]] = {}
        self.placed_of: Counter[tuple[Any, ...]] = Counter()
        self.stuck: dict[tuple[Any, ...], Waiting] = {}
        """The first job of each shape that finds no room: the others of its shape would not either."""
        self.over_quota: dict[UUID, dict[int, Waiting]] = defaultdict(dict)
        """The first job of each size that its user's quota holds back."""

    def run(self) -> Plan:
        lines: dict[UUID, list[Waiting]] = defaultdict(list)
        for job in self.waiting:
            lines[job.user_id].append(job)
        queues = {user_id: line(jobs)[::-1] for user_id, jobs in lines.items()}
        turns = [(rank(self.users[user_id], jobs[-1]), user_id) for user_id, jobs in queues.items()]
        heapify(turns)
        while turns and any(place.free > 0 for place in self.places):
            _, user_id = heappop(turns)
            job = queues[user_id].pop()
            if not self._consider(job):
                break
            if queues[user_id]:
                heappush(turns, (rank(self.users[user_id], queues[user_id][-1]), user_id))
        return Plan(self.placements, self.overtaken, self.clock)

    def _consider(self, job: Waiting) -> bool:
        """Place the job if it may run; False when nothing after it can be judged."""
        shape = _shape(job)
        if shape in self.stuck or self._held(job):
            return True
        capable = self._capable(job)
        fitting = [place for place in capable if place.free >= job.gpus and place.kept_for in (None, job.job_id)]
        if not fitting and capable:
            self.stuck[shape] = job
            self._keep_room(job, capable)
        elif sending := [place for place in fitting if self.open_slots[place.room.cluster] > 0]:
            self._place(job, min(sending, key=lambda place: (place.free, place.room.cluster)))
            self.placed_of[shape] += 1
            return self.placed_of[shape] < self.visible
        return True

    def _capable(self, job: Waiting) -> list[_Place]:
        shape = _shape(job)
        if shape not in self.capable:
            rooms = could_hold((place.room for place in self.places), job)
            self.capable[shape] = [place for place in self.places if place.room in rooms]
        return self.capable[shape]

    def _held(self, job: Waiting) -> bool:
        """Whether the user's quota, or an earlier job that waits for it, keeps the job back."""
        share = self.users[job.user_id]
        over_quota = self.over_quota[job.user_id]
        if any(self._patience(earlier) <= 0 for earlier in over_quota.values()):
            return True
        if share.quota is None or share.gpus + job.gpus <= share.quota:
            return False
        if job.gpus <= share.quota:
            over_quota.setdefault(job.gpus, job)
        return True

    def _place(self, job: Waiting, place: _Place) -> None:
        share = self.users[job.user_id]
        self.clock = max(self.clock, share.virtual_time)
        self.users[job.user_id] = charged(share, job)
        place.free -= job.gpus
        self.open_slots[place.room.cluster] -= 1
        self.placements.append(Placement(job, place.room.cluster, job.gpus * job.seconds))
        for earlier in self.over_quota[job.user_id].values():
            self.overtaken[earlier.job_id] += 1
        for earlier in self.stuck.values():
            capable = self._capable(earlier)
            if place in capable:
                self.overtaken[earlier.job_id] += 1
                self._keep_room(earlier, capable)

    def _keep_room(self, job: Waiting, capable: list[_Place]) -> None:
        """Let nobody else into the emptiest room for it, once the job has been overtaken often enough."""
        if self._patience(job) > 0 or any(place.kept_for == job.job_id for place in capable):
            return
        if to_keep := [place for place in capable if place.kept_for is None]:
            max(to_keep, key=lambda place: (place.free, place.room.cluster)).kept_for = job.job_id

    def _patience(self, job: Waiting) -> int:
        return OVERTAKES - job.overtaken - self.overtaken[job.job_id]


def _shape(job: Waiting) -> tuple[Any, ...]:
    """Jobs of a user that fit in the same places."""
    return job.user_id, job.gpu_type, job.gpus, job.home
