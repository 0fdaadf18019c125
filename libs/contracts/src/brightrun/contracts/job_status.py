"""The life of a job as a pure state machine."""

from dataclasses import dataclass
from enum import StrEnum


class JobStatus(StrEnum):
    """`queued → initializing → running → completed | failed | cancelled`."""

    QUEUED = "queued"
    INITIALIZING = "initializing"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        """Whether the job is over; such a status never changes again."""
        return self in TERMINAL


TERMINAL = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED})


@dataclass(frozen=True, slots=True)
class JobState:
    """A status with its place in the job's history: `attempt` first, then `seq` within it."""

    status: JobStatus
    attempt: int = 0
    seq: int = 0

    @property
    def order(self) -> tuple[int, int]:
        """What decides which of two states is the newer; never a clock."""
        return self.attempt, self.seq


def advance(current: JobState, reported: JobState) -> JobState:
    """The state after `reported` is heard: terminal is final, a terminal report wins, else the higher order wins."""
    if current.status.terminal:
        return current
    if reported.status.terminal or reported.order > current.order:
        return reported
    return current
