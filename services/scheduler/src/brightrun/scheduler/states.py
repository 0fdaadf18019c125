"""The states of jobs and attempts, and the only transitions between them. docs/scheduling.md draws them."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar


class JobState(StrEnum):
    """`waiting`: for GPUs or for the pause before a retry. `over`: in its one terminal status."""

    WAITING = "waiting"
    SUBMITTING = "submitting"
    LIVE = "live"
    PAUSED = "paused"
    OVER = "over"


class AttemptState(StrEnum):
    """`given_back`: the cluster did not accept it; an earlier submission may still reach the cluster."""

    SUBMITTING = "submitting"
    GIVEN_BACK = "given_back"
    LIVE = "live"
    OVER = "over"


S = TypeVar("S", bound=StrEnum)


class IllegalTransition(Exception):
    """The state does not allow the transition."""


def in_sql(*states: StrEnum) -> str:
    """The states as an SQL list, for `state IN …`."""
    return "(" + ", ".join(f"'{state}'" for state in states) + ")"


@dataclass(frozen=True)
class Transition(Generic[S]):
    """Statements interpolate `allowed` and `target`: a row in any other state stays as it is."""

    name: str
    sources: tuple[S, ...]
    target: S

    def advance(self, state: S) -> S:
        """The next state. Raises IllegalTransition."""
        if state not in self.sources:
            raise IllegalTransition(f"{self.name}: {state} → {self.target}")
        return self.target

    @property
    def allowed(self) -> str:
        """The sources as an SQL list."""
        return in_sql(*self.sources)


_J, _A = JobState, AttemptState

LEASE_JOB = Transition("lease", (_J.WAITING,), _J.SUBMITTING)
ACCEPT_JOB = Transition("accept", (_J.SUBMITTING, _J.WAITING, _J.PAUSED, _J.LIVE), _J.LIVE)
"""From other states than submitting: a late run of an attempt that was given back."""
REQUEUE_JOB = Transition("requeue", (_J.SUBMITTING, _J.LIVE), _J.WAITING)
PAUSE_JOB = Transition("pause", (_J.WAITING, _J.SUBMITTING, _J.LIVE), _J.PAUSED)
RESUME_JOB = Transition("resume", (_J.PAUSED,), _J.WAITING)
END_JOB = Transition("end", (_J.WAITING, _J.SUBMITTING, _J.LIVE, _J.PAUSED), _J.OVER)
JOB_TRANSITIONS = (LEASE_JOB, ACCEPT_JOB, REQUEUE_JOB, PAUSE_JOB, RESUME_JOB, END_JOB)

LEASE_ATTEMPT = Transition("lease", (_A.GIVEN_BACK,), _A.SUBMITTING)
TAKE_OVER_ATTEMPT = Transition("take over", (_A.SUBMITTING,), _A.SUBMITTING)
GIVE_BACK_ATTEMPT = Transition("give back", (_A.SUBMITTING,), _A.GIVEN_BACK)
ACCEPT_ATTEMPT = Transition("accept", (_A.SUBMITTING, _A.GIVEN_BACK), _A.LIVE)
REJECT_ATTEMPT = Transition("reject", (_A.SUBMITTING,), _A.OVER)
END_ATTEMPT = Transition("end", (_A.SUBMITTING, _A.GIVEN_BACK, _A.LIVE), _A.OVER)
ATTEMPT_TRANSITIONS = (
    LEASE_ATTEMPT, TAKE_OVER_ATTEMPT, GIVE_BACK_ATTEMPT, ACCEPT_ATTEMPT, REJECT_ATTEMPT, END_ATTEMPT,
)  # fmt: skip

HOLDS_GPUS = in_sql(_A.SUBMITTING, _A.LIVE)
"""The states of attempts that hold GPUs, or may."""

ON_CLUSTER = in_sql(_J.SUBMITTING, _J.LIVE)
"""The states of jobs that a cluster has, or may have."""
