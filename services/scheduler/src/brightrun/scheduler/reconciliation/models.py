"""Owners of runs."""

from dataclasses import dataclass

from brightrun.scheduler.states import AttemptState


@dataclass(frozen=True, slots=True)
class Owner:
    """What is known of the attempt that a run names; `job_over`: its job is."""

    cluster: str
    state: AttemptState
    external_job_id: str | None
    job_over: bool
