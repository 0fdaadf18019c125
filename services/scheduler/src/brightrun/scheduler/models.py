"""The scheduler's rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from brightrun.cluster_client.responses import Submission
from brightrun.contracts.cluster_api import Capabilities, StopSignal
from brightrun.contracts.events import JobQueued
from brightrun.contracts.values import Utc, Value

Key = tuple[UUID, int]
"""Job and attempt: what identifies a run, here and on the cluster."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a job on a cluster. `fence` is the lease's number: a write with an older one changes nothing."""

    job_id: UUID
    user_id: UUID
    attempt: int
    cluster: str
    fence: int
    state: str
    external_job_id: str | None

    @property
    def key(self) -> Key:
        """The run's identity."""
        return self.job_id, self.attempt


@dataclass(frozen=True, slots=True)
class Lease:
    """An attempt that is to be submitted by us, and by nobody else for a while.

    `resume_from`: the run whose last checkpoint it goes on from. `unsure`: an earlier submission of it may have reached
    the cluster. `idempotent`: the cluster answers a repetition with the first run. `inputs`: it takes a validation data
    set and an adapter to start from.
    """

    attempt: Attempt
    job: JobQueued
    resume_from: str | None
    unsure: bool
    idempotent: bool
    inputs: bool


@dataclass(frozen=True, slots=True)
class Started:
    """An attempt that has started its job, which `waited` so many seconds.

    `unwanted`: its user has wanted it cancelled or paused meanwhile.
    """

    attempt: Attempt
    job: JobQueued
    waited: float
    unwanted: bool


@dataclass(frozen=True, slots=True)
class NoInputs:
    """The attempt was not submitted, as there are no URLs of its inputs for now."""

    reason: str


SubmissionResult = Submission | NoInputs


@dataclass(frozen=True, slots=True)
class Pool:
    """GPUs of a cluster that stand in for each other.

    `types` None: of any type. `total` and `free` None: as many as it takes. `largest`: the most that it ever had.
    """

    types: frozenset[str] | None
    total: int | None
    free: int | None
    largest: int | None


@dataclass(frozen=True, slots=True)
class ClusterReport:
    """What is known of a cluster. `pools` is None before its first answer.

    `taken`: GPUs by type that it has not counted yet. `usable`: it answers, is not drained, and has not just been full.
    """

    name: str
    pools: tuple[Pool, ...] | None
    taken: Mapping[str, int]
    usable: bool


@dataclass(frozen=True, slots=True)
class ClusterState:
    """A cluster as operators see it."""

    name: str
    capabilities: Capabilities | None
    pools: tuple[Pool, ...] | None
    answered_at: datetime | None
    drained_at: datetime | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A job in the queue.

    `home`: the cluster that it has to go back to while that can be used; empty for none. `urgency`: rank among the
    user's own jobs. `seconds`: how long it is expected to train. `overtaken`: jobs that took GPUs it was waiting for.
    """

    job_id: UUID
    user_id: UUID
    gpu_type: str
    gpus: int
    home: str
    urgency: int
    queued_at: datetime
    seconds: float
    overtaken: int = 0


@dataclass(frozen=True, slots=True)
class Placement:
    """A job, the cluster it goes to, and what its user is charged in GPU-seconds."""

    job: Waiting
    cluster: str
    charge: float


@dataclass(frozen=True, slots=True)
class Share:
    """A user's right to GPUs and what is used of it.

    `virtual_time`: GPU-seconds used, divided by the weight, on the clock that all users share.
    """

    user_id: UUID
    weight: float
    quota: int | None
    gpus: int
    virtual_time: float


@dataclass(frozen=True, slots=True)
class Running:
    """GPUs that a run holds until `ends_at`; None when nobody knows."""

    user_id: UUID
    cluster: str
    gpu_type: str
    gpus: int
    ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class Allowance:
    """How long an attempt may train, in seconds, and which limit it is that ends it then: `budget` or `duration`."""

    seconds: float
    limit: str


@dataclass(frozen=True, slots=True)
class Watched:
    """An attempt with what is known of its run so far. `stop_at` is when its `allowance` is about to be used up."""

    attempt: Attempt
    started_at: datetime | None = None
    saved_step: int | None = None
    checkpoint_seconds: float | None = None
    expected_end: datetime | None = None
    allowance: Allowance | None = None
    stop_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Stopping:
    """A live run that shall end.

    `over`: its job is. `decided_at`: since when a limit ends it. `sent`: the last order, and `heard`: the last that the
    cluster acknowledged.
    """

    attempt: Attempt
    over: bool
    cancelled: bool
    paused: bool
    decided_at: datetime | None
    sent: StopSignal | None
    sent_at: datetime | None
    heard: StopSignal | None


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was wished of an attempt that has ended.

    `limit`: the one that it was stopped for. `sent`: how it was told to end. `losses`: attempts that were lost before.
    """

    cancelled: bool
    paused: bool
    limit: str | None
    sent: StopSignal | None
    losses: int


class Polled(Value):
    """What polling a run's status has shown: `seq` events so far, and no change for the last `quiet` answers.

    `seen`: a digest of the last answer. `missing`: how often in a row the cluster did not know the run.
    `failing_since`: since when it has given no usable answer. `point`: a digest of the last point that was made of it.
    `ran`: it was seen running.
    """

    seq: int = 0
    quiet: int = 0
    seen: str = ""
    missing: int = 0
    failing_since: Utc | None = None
    point: str = ""
    ran: bool = False


@dataclass(frozen=True, slots=True)
class Owner:
    """What we know of an attempt that a run names; `job_over`: its job is."""

    cluster: str
    state: str
    external_job_id: str | None
    job_over: bool
