"""What becomes of a job that was submitted while its data set was still being checked."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from brightrun.api.models import Ending, Job
from brightrun.api.quotes import Rate
from brightrun.api.rules import estimates
from brightrun.contracts.events import DatasetRef, DatasetValidated
from brightrun.contracts.job_status import JobState, JobStatus
from brightrun.contracts.training import JobError


def release(job: Job, dataset: DatasetRef) -> Job:
    """The job is queued: estimated with the data set's real numbers, at the prices that it was promised."""
    if job.hold is None:
        raise ValueError(f"job {job.id} is not held")
    rate = Rate(job.pricing.hourly_rate, job.hold.tokens_per_second, job.pricing.storage)
    quote = estimates.estimate(dataset, job.spec, rate)
    return replace(
        job,
        hold=None,
        dataset=dataset,
        estimated_cost=quote.total,
        planned_steps=quote.total_steps,
        planned_epochs=quote.epochs,
        planned_seconds=quote.seconds,
    )


def refuse(job: Job, error: JobError, now: datetime) -> Job:
    """The job has failed: it has nothing to train on."""
    return _end(job, JobStatus.FAILED, now, error)


def cancel(job: Job, now: datetime) -> Job:
    """The job is over before anybody has heard of it."""
    return replace(_end(job, JobStatus.CANCELLED, now), cancel_requested_at=now)


def unusable(event: DatasetValidated) -> JobError:
    """Why nothing can be trained on the data set."""
    errors = "1 error" if event.error_count == 1 else f"{event.error_count:,} errors"
    return JobError(
        code="invalid_training_file",
        message=f"The data set {event.name} cannot be trained on: its validation found {errors}.",
        advice="See what is wrong with it in its report, mend it, upload it again and submit a new job.",
    )


def _end(job: Job, status: JobStatus, now: datetime, error: JobError | None = None) -> Job:
    ending = Ending(started_at=None, finished_at=now, compute_cost=Decimal(0), trained_tokens=0, error=error)
    return replace(job, hold=None, state=JobState(status), ending=ending)
