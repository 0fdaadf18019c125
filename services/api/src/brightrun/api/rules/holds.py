"""What becomes of a job that was submitted while a data set of its was still being checked."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from brightrun.api.models import Ending, Job, PendingDataset
from brightrun.api.quotes import Rate
from brightrun.api.rules import estimates, inputs
from brightrun.contracts.events import DatasetRef, DatasetValidated
from brightrun.contracts.job_status import JobState, JobStatus
from brightrun.contracts.training import JobError


def learn(job: Job, dataset: DatasetRef) -> Job:
    """The job with the numbers of a data set that was checked; released if it waits for no other."""
    if job.spec.validation_dataset_id == dataset.dataset_id:
        job = replace(job, validation=dataset)
    if job.dataset.dataset_id == dataset.dataset_id:
        job = replace(job, dataset=dataset)
    if isinstance(job.dataset, PendingDataset) or isinstance(job.validation, PendingDataset):
        return job
    return _release(job, job.dataset)


def _release(job: Job, dataset: DatasetRef) -> Job:
    """The job is queued: estimated with the data set's real numbers, at the prices that it was promised."""
    if job.hold is None:
        raise ValueError(f"job {job.id} is not held")
    rate = Rate(job.pricing.hourly_rate, job.hold.tokens_per_second, job.pricing.storage)
    quote = estimates.estimate(dataset, job.spec, rate)
    return replace(
        job,
        hold=None,
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


def unusable(job: Job, event: DatasetValidated) -> JobError:
    """Why the job can do nothing with the data set."""
    errors = "1 error" if event.error_count == 1 else f"{event.error_count:,} errors"
    return JobError(
        code=_code(job, event.dataset_id),
        message=f"The data set {event.name} cannot be trained on: its validation found {errors}.",
        advice="See what is wrong with it in its report, mend it, upload it again and submit a new job.",
    )


def unsuitable(job: Job, dataset: DatasetRef) -> JobError | None:
    """Why the job's method can do nothing with a data set, though that is sound; None if it can."""
    reason = inputs.mismatch(job.spec, dataset)
    if reason is None:
        return None
    return JobError(
        code=_code(job, dataset.dataset_id),
        message=f"The data set does not suit: {reason}.",
        advice="Submit a new job with the method that suits the data set.",
    )


def _code(job: Job, dataset_id: UUID) -> str:
    return "invalid_training_file" if job.dataset.dataset_id == dataset_id else "invalid_validation_file"


def _end(job: Job, status: JobStatus, now: datetime, error: JobError | None = None) -> Job:
    ending = Ending(started_at=None, finished_at=now, compute_cost=Decimal(0), trained_tokens=0, error=error)
    return replace(job, hold=None, state=JobState(status), ending=ending)
