"""Runs as they are observed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from brightrun.contracts.cluster_api import RunEvent
from brightrun.contracts.training import JobError
from brightrun.contracts.values import Utc, Value
from brightrun.scheduler.limits.models import Allowance
from brightrun.scheduler.models import Attempt


@dataclass(frozen=True, slots=True)
class ObservedRun:
    """An attempt with what is known of its run. `stop_at`: when its `allowance` is about to be used up."""

    attempt: Attempt
    started_at: datetime | None = None
    saved_step: int | None = None
    checkpoint_seconds: float | None = None
    expected_end: datetime | None = None
    allowance: Allowance | None = None
    stop_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """Up to where a cluster's stream was read, and whether it has one; None before its first report."""

    cursor: int
    streams: bool | None


class PollState(Value):
    """What polling a run has shown: `seq` events so far, and no change for the last `quiet` responses.

    `seen`: a digest of the last response. `missing`: how often in a row the cluster did not know the run.
    `failing_since`: since when its responses are unusable. `point`: a digest of the last point made of it. `ran`: it
    was seen running.
    """

    seq: int = 0
    quiet: int = 0
    seen: str = ""
    missing: int = 0
    failing_since: Utc | None = None
    point: str = ""
    ran: bool = False


class DueRun(NamedTuple):
    """A run to be polled by us until `claimed_until`; `stopping`: it has been told to end."""

    run: ObservedRun
    before: dict[str, Any] | None
    stopping: bool
    claimed_until: datetime

    @property
    def attempt(self) -> Attempt:
        return self.run.attempt

    @property
    def state(self) -> PollState:
        return PollState.model_validate(self.before or {})


@dataclass(frozen=True, slots=True)
class PollResult:
    """The state after a response; the event that it makes, if it says something new; why the run counts as lost."""

    state: PollState
    event: RunEvent | None = None
    lost: JobError | None = None
