"""A simulated installation: the rules decide which jobs start, and what users get is counted."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import UUID

from brightrun.scheduler.clusters.models import FreeGpus
from brightrun.scheduler.queue.models import UserShare, WaitingJob
from brightrun.scheduler.queue.rules import fairness
from tests.builders import NOON

VISIBLE = 4


@dataclass
class Simulation:
    """Users without an entry in `quotas` have none, and those without one in `weights` have weight 1."""

    free_gpus: Sequence[FreeGpus]
    weights: dict[UUID, float] = field(default_factory=dict)
    quotas: dict[UUID, int] = field(default_factory=dict)
    now: float = 0.0
    clock: float = 0.0

    def __post_init__(self) -> None:
        self.waiting: dict[UUID, WaitingJob] = {}
        self.lengths: dict[UUID, float] = {}
        self.running: list[tuple[float, UUID, WaitingJob, str]] = []
        self.virtual: dict[UUID, float] = defaultdict(float)
        self.used: Counter[UUID] = Counter()
        self.held: Counter[UUID | str] = Counter()
        """GPUs by user, and by cluster."""
        self.started: list[WaitingJob] = []

    def submit(self, user: UUID, number: int, *, gpus: int = 1, kind: str = "CPU", takes: float = 100.0, **job) -> UUID:
        """A job that really `takes` so many seconds; it is expected to unless `seconds` says otherwise."""
        if not any(other.user_id == user for other in self.waiting.values()):
            self.virtual[user] = max(self.virtual[user], self.clock)
        values = {
            "preferred_cluster": "",
            "priority": 1,
            "seconds": takes,
            "queued_at": NOON + timedelta(seconds=self.now),
        }
        waiting_job = WaitingJob(UUID(int=number), user, kind, gpus, **values | job)
        self.waiting[waiting_job.job_id], self.lengths[waiting_job.job_id] = waiting_job, takes
        return waiting_job.job_id

    def decide(self) -> None:
        """Start what may start."""
        while self._decide_once():
            pass

    def _decide_once(self) -> bool:
        shares = [self.share(user) for user in {job.user_id for job in self.waiting.values()}]
        slots = {free.cluster: 1000 for free in self.free_gpus}
        plan = fairness.Planner(self._seen(), shares, self.gpus_left(), self.clock, slots, VISIBLE).plan()
        for job_id, times in plan.bypassed.items():
            self.waiting[job_id] = replace(
                self.waiting[job_id], times_bypassed=self.waiting[job_id].times_bypassed + times
            )
        for placement in plan.placements:
            job = self.waiting.pop(placement.job.job_id)
            self.virtual[job.user_id] += placement.charge / self.weight(job.user_id)
            heapq.heappush(self.running, (self.now + self.lengths[job.job_id], job.job_id, job, placement.cluster))
            self.held.update({job.user_id: job.gpus, placement.cluster: job.gpus})
            self.started.append(job)
        self.clock = plan.clock
        return bool(plan.placements)

    def _seen(self) -> list[WaitingJob]:
        """As the queue shows them: the first few of each user and shape."""
        shapes: dict[tuple, list[WaitingJob]] = defaultdict(list)
        for job in fairness.in_order(self.waiting.values()):
            shapes[job.user_id, job.gpu_type, job.gpus, job.preferred_cluster].append(job)
        return [job for jobs in shapes.values() for job in jobs[:VISIBLE]]

    def wait_for_an_end(self) -> UUID:
        """Let time pass until a job is over; returns its user, who is charged for what it really took."""
        self.now, job_id, job, cluster = heapq.heappop(self.running)
        self.held.subtract({job.user_id: job.gpus, cluster: job.gpus})
        seconds = self.lengths[job_id]
        self.used[job.user_id] += job.gpus * seconds
        self.virtual[job.user_id] += job.gpus * (seconds - job.seconds) / self.weight(job.user_id)
        return job.user_id

    def used_by_now(self) -> Counter[UUID]:
        """GPU-seconds, with those of jobs that still run."""
        used = Counter(self.used)
        for end, job_id, job, _ in self.running:
            used[job.user_id] += job.gpus * (self.lengths[job_id] - (end - self.now))
        return used

    def share(self, user: UUID) -> UserShare:
        return UserShare(user, self.weight(user), self.quotas.get(user), self.held_by(user), self.virtual[user])

    def weight(self, user: UUID) -> float:
        return self.weights.get(user, 1.0)

    def held_by(self, user: UUID) -> int:
        return self.held[user]

    def gpus_left(self) -> list[FreeGpus]:
        return [replace(free, free=free.free - self.held[free.cluster]) for free in self.free_gpus]


def cluster_gpus(cluster: str = "local", gpus: int = 8, types: Iterable[str] | None = ("CPU",)) -> FreeGpus:
    """A cluster with GPUs of one kind, all free."""
    return FreeGpus(cluster, frozenset(types) if types is not None else None, gpus, gpus)
