"""What all subjects speak of."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from brightrun.scheduler.states import AttemptState

Key = tuple[UUID, int]
"""Job and attempt: what identifies a run, here and on the cluster."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a job on a cluster. `fence` is the lease's fencing token: writes with an older one change nothing."""

    job_id: UUID
    user_id: UUID
    attempt: int
    cluster: str
    fence: int
    state: AttemptState
    external_job_id: str | None

    @property
    def key(self) -> Key:
        return self.job_id, self.attempt

    @property
    def log_fields(self) -> dict[str, Any]:
        return {"job_id": str(self.job_id), "attempt": self.attempt, "cluster": self.cluster}


ATTEMPT_COLUMNS = "a.job_id, a.user_id, a.attempt, a.cluster, a.fence, a.state, a.external_job_id"
"""The fields of `Attempt`, in order."""
