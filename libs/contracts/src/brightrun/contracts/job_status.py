"""The life of a job as a pure state machine."""

from dataclasses import dataclass
from enum import StrEnum


class JobStatus(StrEnum):
    """`queued → initializing → running → completed | failed | cancelled`; until then, `paused` and queued again."""

    QUEUED = "queued"
    INITIALIZING = "initializing"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        """Whether the job is over; such a status never changes again."""
        return self in TERMINAL


TERMINAL = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED})


LAST_SEQ = 2**31 - 1


@dataclass(frozen=True, slots=True)
class JobState:
    """A status with its place in the job's history: `attempt` first, then `seq` within it."""

    status: JobStatus
    attempt: int = 0
    seq: int = 0

    @classmethod
    def paused(cls, attempt: int) -> "JobState":
        """After every event that the attempt may still report."""
        return cls(JobStatus.PAUSED, attempt, LAST_SEQ)

    @classmethod
    def queued_again(cls, last_attempt: int) -> "JobState":
        """Before the attempt after `last_attempt` starts."""
        return cls(JobStatus.QUEUED, last_attempt + 1, -1)

    @property
    def order(self) -> tuple[int, int]:
        """What decides which of two states is the newer; never a clock."""
        return self.attempt, self.seq


def advance(current: JobState, reported: JobState) -> JobState:
    """The state after a report: terminal is final, a terminal report wins, else the higher order wins."""
    if current.status.terminal:
        return current
    if reported.status.terminal or reported.order > current.order:
        return reported
    return current
