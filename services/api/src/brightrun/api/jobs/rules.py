"""Decisions about jobs: their inputs, jobs that await a data set, pauses, retries and clones, idempotency."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from brightrun.api.datasets.models import READY, UNCHECKED, Dataset, PendingDataset
from brightrun.api.errors import DatasetNotReady
from brightrun.api.jobs.models import LIVE, Ending, IdempotencyClaim, Inputs, Job, JobRequest, StartingModel
from brightrun.api.pricing import estimates
from brightrun.api.pricing.models import MAX_EPOCHS, HourlyRate
from brightrun.api.pricing.prices import missing
from brightrun.contracts.events import DatasetRef, DatasetValidated
from brightrun.contracts.job_status import JobState, JobStatus
from brightrun.contracts.training import JobError, TrainingSpec, TrainingSpecView

PREFERENCES = "dpo"
"""The format of data sets of preferences."""
STORED = "stored"
STRUCTURE = ("base_model_revision", "rank", "alpha", "target_modules", "rslora")
"""Hyperparameters that an adapter keeps from its training, besides its base model."""
Problems = dict[str, list[str]]


def inherit(requested: TrainingSpec, start: StartingModel | None) -> TrainingSpec:
    """The requested spec, completed by what the adapter to start from determines."""
    if start is None:
        return requested
    submitted = requested.model_dump(exclude_unset=True, exclude_none=True)
    inherited = {name: getattr(start.spec, name) for name in ("base_model", *STRUCTURE, "chat_template")}
    return requested.model_copy(update={name: value for name, value in inherited.items() if name not in submitted})


def input_problems(requested: TrainingSpec, inputs: Inputs) -> Problems:
    """Problems of the inputs, by the request's paths. Data sets that are not validated yet are skipped."""
    found: Problems = {}
    validated = [dataset for dataset in inputs.datasets if dataset.sha256]
    if mismatches := [reason for dataset in validated if (reason := mismatch(requested, dataset))]:
        found["hyperparameters.method"] = mismatches
    if requested.validation_dataset_id == inputs.dataset.id:
        found["hyperparameters.validation_dataset_id"] = [
            "this is the data set that is trained on: give another one, or use validation_split"
        ]
    if inputs.start:
        found |= {f"hyperparameters.{name}": [reason] for name, reason in _start_problems(requested, inputs.start)}
    return found


def mismatch(spec: TrainingSpec, dataset: Dataset | DatasetRef | PendingDataset) -> str | None:
    """Why the method cannot use the data set; None if it can."""
    if (spec.method == "dpo") == (dataset.format == PREFERENCES):
        return None
    if spec.method == "dpo":
        return (
            f"dpo learns from pairs of answers, and {dataset.name} is {dataset.format}: use sft, or a data set of pairs"
        )
    return f"{dataset.name} holds pairs of answers, which {spec.method} cannot learn from: use dpo"


def other_base(spec: TrainingSpec, start: StartingModel) -> Problems:
    """The problem of an adapter of another base model. Needs the base model's own name."""
    if spec.base_model == start.spec.base_model:
        return {}
    return {
        "hyperparameters.base_model": [
            f"the model {start.name} is an adapter of {start.spec.base_model}: leave base_model out, or give that"
        ]
    }


def _start_problems(requested: TrainingSpec, start: StartingModel) -> Iterator[tuple[str, str]]:
    if start.status != STORED or not start.files:
        yield "init_from", f"the model {start.name} has no adapter to start from; its status is {start.status!r}"
        return
    for name in STRUCTURE:
        inherited = getattr(start.spec, name)
        if inherited is not None and getattr(requested, name) not in (None, inherited):
            yield (
                name,
                f"the adapter of {start.name} was made with {_format(inherited)}: leave {name} out, or give that",
            )


def _format(value: object) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def preset_problems(request: JobRequest, requested: TrainingSpec) -> Problems:
    """Problems of the hyperparameters, by the request's paths: missing ones, and too many epochs."""
    found = {name: ["Field required by the preset custom"] for name in missing(request.preset_id, requested)}
    if request.dialect == "api" and (requested.epochs or 0) > MAX_EPOCHS:
        found["epochs"] = [f"Input should be less than or equal to {MAX_EPOCHS}"]
    return {f"hyperparameters.{name}": problems for name, problems in found.items()}


def apply_validation(job: Job, dataset: DatasetRef) -> Job:
    """The job with the numbers of a validated data set, ready to be queued if it awaits no other."""
    if job.spec.validation_dataset_id == dataset.dataset_id:
        job = replace(job, validation=dataset)
    if job.dataset.dataset_id == dataset.dataset_id:
        job = replace(job, dataset=dataset)
    if isinstance(job.dataset, PendingDataset) or isinstance(job.validation, PendingDataset):
        return job
    return _release(job, job.dataset)


def _release(job: Job, dataset: DatasetRef) -> Job:
    """The job with an estimate for the validated data set, at the prices of its submission."""
    if job.awaiting_dataset is None:
        raise ValueError(f"job {job.id} awaits no data set")
    rate = HourlyRate(job.pricing.hourly_rate, job.awaiting_dataset.tokens_per_second, job.pricing.storage)
    quote = estimates.estimate(dataset, job.spec, rate)
    return replace(
        job,
        awaiting_dataset=None,
        estimated_cost=quote.total,
        planned_steps=quote.total_steps,
        planned_epochs=quote.epochs,
        planned_seconds=quote.seconds,
    )


def fail(job: Job, error: JobError, now: datetime) -> Job:
    """The job, failed because of a data set."""
    return _end(job, JobStatus.FAILED, now, error)


def cancel_awaiting(job: Job, now: datetime) -> Job:
    """The job, cancelled before it was published."""
    return replace(_end(job, JobStatus.CANCELLED, now), cancel_requested_at=now)


def unusable_error(job: Job, event: DatasetValidated) -> JobError:
    """The error of a job whose data set is invalid."""
    errors = "1 error" if event.error_count == 1 else f"{event.error_count:,} errors"
    return JobError(
        code=_code(job, event.dataset_id),
        message=f"The data set {event.name} cannot be trained on: its validation found {errors}.",
        advice="See what is wrong with it in its report, mend it, upload it again and submit a new job.",
    )


def mismatch_error(job: Job, dataset: DatasetRef) -> JobError | None:
    """The error of a job whose method cannot use a valid data set; None if it can."""
    reason = mismatch(job.spec, dataset)
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
    return replace(job, awaiting_dataset=None, state=JobState(status), ending=ending)


def can_pause(job: Job) -> bool:
    """Whether the job waits, or its cluster can save and resume it."""
    if job.state.status.terminal or job.cancel_requested_at is not None:
        return False
    return job.state.status not in LIVE or job.unpausable_attempt != job.state.attempt


def can_finish(job: Job) -> bool:
    """Whether the job trains where it can be saved, and is not being cancelled."""
    return job.state.status in LIVE and can_pause(job)


def pause(job: Job, now: datetime) -> Job:
    """The job with a request to pause; it is paused once its GPUs are free."""
    return replace(job, pause_turn=job.pause_turn + 1, pause_requested_at=now)


def can_resume(job: Job) -> bool:
    """Whether the job is paused and not being cancelled."""
    return job.state.status is JobStatus.PAUSED and job.cancel_requested_at is None


def resume(job: Job) -> Job:
    """The job, queued again."""
    return replace(
        job,
        pause_turn=job.pause_turn + 1,
        pause_requested_at=None,
        state=JobState.queued_again(job.state.attempt),
    )


def is_resumable(job: Job, now: datetime) -> bool:
    """Whether a cluster still keeps a checkpoint of the job that another job can go on from."""
    until = job.ending.resumable_until if job.ending else None
    return until is not None and now < until


RETRYABLE = frozenset({JobStatus.FAILED, JobStatus.CANCELLED})
EITHER_OR = (("epochs", "max_steps"), ("warmup_ratio", "warmup_steps"), ("validation_split", "validation_dataset_id"))
"""Hyperparameters that exclude each other: a changed one replaces the other."""


def request_of(job: Job) -> JobRequest:
    """The request of the job, once more."""
    return JobRequest(
        dataset_id=job.dataset.dataset_id,
        preset_id=job.preset_id,
        gpu_config=job.gpu,
        hyperparameters=TrainingSpecView.model_validate(job.submitted),
        name=job.name,
        suffix=job.suffix,
        metadata=job.metadata,
    )


def merge(submitted: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The submitted hyperparameters with `changes`, of which None removes one."""
    kept = dict(submitted)
    for first, second in EITHER_OR:
        if changes.get(first) is not None:
            kept.pop(second, None)
        if changes.get(second) is not None:
            kept.pop(first, None)
    return {name: value for name, value in (kept | changes).items() if value is not None}


def claim_of(operation: str, body: BaseModel | None, key: str | None, now: datetime) -> IdempotencyClaim:
    """Identifies a request of `/api` with a key by all fields that were submitted, in whatever order and spacing."""
    if key is None:
        return IdempotencyClaim(b"", began_at=now)
    return IdempotencyClaim(
        digest(operation, body.model_dump_json(exclude_unset=True) if body else ""), began_at=now, key=key
    )


def digest(*parts: str) -> bytes:
    """The digest of a request: operation, object, body."""
    return hashlib.sha256("\n".join(parts).encode()).digest()


def usable_datasets(
    request: JobRequest, inputs: Inputs
) -> tuple[DatasetRef | PendingDataset, DatasetRef | PendingDataset | None]:
    """The data sets as the job stores them. Raises DatasetNotReady."""
    dataset, validation = _usable(request, inputs.dataset), None
    if inputs.validation:
        validation = _usable(request, inputs.validation, "hyperparameters.validation_dataset_id")
    return dataset, validation


def _usable(request: JobRequest, dataset: Dataset, field: str | None = None) -> DatasetRef | PendingDataset:
    """`field`: the request's field with the data set, for the validation data set."""
    if request.may_await_dataset and dataset.status in UNCHECKED:
        return PendingDataset(dataset_id=dataset.id, name=dataset.name, format=dataset.format)
    ready = dataset.status == READY
    if not ready or dataset.sha256 is None:
        problem = (
            "Dataset must have status='ready' and training_ready=true. "
            f"Current: status='{dataset.status}', training_ready={str(ready).lower()}"
        )
        raise DatasetNotReady({field: [problem]} if field else problem)
    return DatasetRef(
        dataset_id=dataset.id,
        name=dataset.name,
        format=dataset.format,
        training_pairs=dataset.training_pairs,
        tokens=dataset.tokens,
        sha256=dataset.sha256,
    )
