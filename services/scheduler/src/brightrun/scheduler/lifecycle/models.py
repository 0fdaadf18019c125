"""Attempts that start or end their jobs."""

from dataclasses import dataclass
from typing import NamedTuple

from brightrun.contracts.cluster_api import StopSignal
from brightrun.contracts.events import JobQueued
from brightrun.scheduler.models import Attempt


@dataclass(frozen=True, slots=True)
class StartedAttempt:
    """An attempt that has started its job. `stop_requested`: its user wants it to stop meanwhile.

    `pausable`: its cluster saves a run that it ends, and resumes from there.
    """

    attempt: Attempt
    job: JobQueued
    waited_seconds: float
    stop_requested: bool
    pausable: bool


class ResumePoint(NamedTuple):
    """The cluster that a job goes back to, empty for as before, and the run there that it resumes."""

    cluster: str = ""
    run: str | None = None


@dataclass(frozen=True, slots=True)
class StopRequests:
    """What was requested of an attempt that has ended.

    `finishing`: its user wants what it has. `limit`: the one that it was stopped for. `sent`: the last signal that its
    cluster was sent. `lost_attempts`: those that its job lost before. `repeated`: the attempt before failed at the same
    step with the same error.
    """

    cancelled: bool
    paused: bool
    finishing: bool
    limit: str | None
    sent: StopSignal | None
    lost_attempts: int
    repeated: bool
