"""Leases, and what came of their submissions."""

from dataclasses import dataclass

from brightrun.cluster_client.responses import Submission
from brightrun.contracts.events import JobQueued
from brightrun.scheduler.models import Attempt


@dataclass(frozen=True, slots=True)
class Lease:
    """An attempt that this scheduler alone submits, until the lease ends.

    `resume_from`: the run whose last checkpoint it resumes. `maybe_delivered`: an earlier submission may have reached
    the cluster. `idempotent`: the cluster answers a repetition with the first run.
    """

    attempt: Attempt
    job: JobQueued
    resume_from: str | None
    maybe_delivered: bool
    idempotent: bool


@dataclass(frozen=True, slots=True)
class NoInputs:
    """The attempt was not submitted, as there are no URLs of its inputs for now."""

    reason: str


SubmissionResult = Submission | NoInputs
