"""Waiting jobs and what their users may have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from brightrun.contracts.placement import Needs
from brightrun.scheduler.states import JobState


@dataclass(frozen=True, slots=True)
class WaitingJob:
    """A job in the queue.

    `preferred_cluster`: the one that it goes back to while that is usable; empty for none. `priority`: its rank among
    the user's own jobs. `seconds`: how long it is expected to train. `times_bypassed`: jobs that took GPUs that it
    was waiting for. `inputs`: it has a validation data set of its own, or starts from an adapter.
    """

    job_id: UUID
    user_id: UUID
    gpu_type: str
    gpus: int
    preferred_cluster: str
    priority: int
    queued_at: datetime
    seconds: float
    times_bypassed: int = 0
    base_model: str = ""
    inputs: bool = False

    @property
    def needs(self) -> Needs:
        return Needs(self.gpu_type, self.gpus, self.base_model, self.inputs)


@dataclass(frozen=True, slots=True)
class UserShare:
    """A user's right to GPUs and what is used of it.

    `virtual_time`: GPU-seconds used, divided by the weight, on the clock that all users share.
    """

    user_id: UUID
    weight: float
    quota: int | None
    gpus: int
    virtual_time: float


@dataclass(frozen=True, slots=True)
class Placement:
    """A job, the cluster it goes to, and what its user is charged in GPU-seconds."""

    job: WaitingJob
    cluster: str
    charge: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be submitted, in order; how often jobs are bypassed by it; the virtual clock afterwards."""

    placements: Sequence[Placement]
    bypassed: Mapping[UUID, int]
    clock: float


@dataclass(frozen=True, slots=True)
class RunningGpus:
    """GPUs that a run holds until `ends_at`; None if unknown."""

    user_id: UUID
    cluster: str
    gpu_type: str
    gpus: int
    ends_at: datetime | None


class EarlyStop(NamedTuple):
    """A stop request that came before its job: to pause, the `turn`-th of its kind, or to cancel (None)."""

    job_id: UUID
    turn: int | None


class Heads(NamedTuple):
    """`visible`: how many jobs of each user and shape are shown at most. `clock`: the virtual clock."""

    jobs: list[WaitingJob]
    shares: list[UserShare]
    clock: float
    visible: int


class Position(NamedTuple):
    """`backing_off`: the job waits for the pause before its next attempt to end."""

    state: JobState
    backing_off: bool
