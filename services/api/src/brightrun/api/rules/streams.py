"""When a job has nothing more to tell."""

from collections.abc import Set as AbstractSet

from brightrun.contracts.job_status import TERMINAL, JobStatus

STORED = "artifact_ready"
STANDSTILL = ("paused", "resumed", "attempt_lost")


def changes_costs(entry_type: str) -> bool:
    """Whether the job begins or ends to cost something with such an entry, which progress does not tell."""
    return entry_type in (STORED, *STANDSTILL) or entry_type in TERMINAL


def is_over(entry_types: AbstractSet[str]) -> bool:
    """Whether a log with these types of entries is complete: a completed job's model is stored a little later."""
    return bool(entry_types & (TERMINAL - {JobStatus.COMPLETED})) or {JobStatus.COMPLETED, STORED} <= entry_types
