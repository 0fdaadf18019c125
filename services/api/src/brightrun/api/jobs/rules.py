"""Whether what a training is given suits it, and suits together."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import BaseModel as PydanticModel

from brightrun.api.datasets.errors import DatasetNotReady
from brightrun.api.datasets.models import READY, UNCHECKED, Dataset, PendingDataset
from brightrun.api.jobs.models import LIVE, Ending, IdempotencyClaim, Inputs, Job, JobRequest
from brightrun.api.models.models import StartingModel
from brightrun.api.pricing.models import HourlyRate
from brightrun.api.pricing.rules import estimates
from brightrun.api.pricing.rules.prices import missing
from brightrun.contracts.events import DatasetRef, DatasetValidated
from brightrun.contracts.job_status import JobState, JobStatus
from brightrun.contracts.training import JobError, TrainingSpec

PREFERENCES = "dpo"
"""The format of data sets of preferences."""
STORED = "stored"
STRUCTURE = ("base_model_revision", "rank", "alpha", "target_modules", "rslora")
"""What an adapter keeps from the training that made it, beside its base model."""
Problems = dict[str, list[str]]


def inherit(wished: TrainingSpec, start: StartingModel | None) -> TrainingSpec:
    """What is wished, with that in place of what is not given which the adapter to start from has decided."""
    if start is None:
        return wished
    given = wished.model_dump(exclude_unset=True, exclude_none=True)
    decided = {name: getattr(start.spec, name) for name in ("base_model", *STRUCTURE, "chat_template")}
    return wished.model_copy(update={name: value for name, value in decided.items() if name not in given})


def input_problems(wished: TrainingSpec, inputs: Inputs) -> Problems:
    """What is wrong with what is given, by the order's paths. Data sets that are not checked yet are not looked at."""
    found: Problems = {}
    checked = [one for one in (inputs.dataset, inputs.validation) if one and one.sha256]
    if unsuitable := [reason for one in checked if (reason := mismatch(wished, one))]:
        found["hyperparameters.method"] = unsuitable
    if wished.validation_dataset_id == inputs.dataset.id:
        found["hyperparameters.validation_dataset_id"] = [
            "this is the data set that is trained on: give another one, or use validation_split"
        ]
    if inputs.start:
        found |= {f"hyperparameters.{name}": [reason] for name, reason in _unlike(wished, inputs.start)}
    return found


def mismatch(spec: TrainingSpec, dataset: Dataset | DatasetRef | PendingDataset) -> str | None:
    """Why a data set does not suit the method; None if it does."""
    if (spec.method == "dpo") == (dataset.format == PREFERENCES):
        return None
    if spec.method == "dpo":
        return (
            f"dpo learns from pairs of answers, and {dataset.name} is {dataset.format}: use sft, or a data set of pairs"
        )
    return f"{dataset.name} holds pairs of answers, which {spec.method} cannot learn from: use dpo"


def other_base(spec: TrainingSpec, start: StartingModel) -> Problems:
    """Whether the adapter belongs to another base model than the one that is trained, by its own name."""
    if spec.base_model == start.spec.base_model:
        return {}
    return {
        "hyperparameters.base_model": [
            f"the model {start.name} is an adapter of {start.spec.base_model}: leave base_model out, or give that"
        ]
    }


def _unlike(wished: TrainingSpec, start: StartingModel) -> Iterator[tuple[str, str]]:
    if start.status != STORED or not start.files:
        yield "init_from", f"the model {start.name} has no adapter to start from; its status is {start.status!r}"
        return
    for name in STRUCTURE:
        has = getattr(start.spec, name)
        if has is not None and getattr(wished, name) not in (None, has):
            yield name, f"the adapter of {start.name} was made with {_shown(has)}: leave {name} out, or give that"


def _shown(value: object) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)


MAX_EPOCHS = 20
"""On `/api`, as in the original; the OpenAI face takes as many as OpenAI does."""


def preset_problems(request: JobRequest, requested: TrainingSpec) -> Problems:
    """What is wrong with the hyperparameters of an request, by their paths: what is missing, what is too much."""
    found = {name: ["Field required by the preset custom"] for name in missing(request.preset_id, requested)}
    if request.dialect == "api" and (requested.epochs or 0) > MAX_EPOCHS:
        found["epochs"] = [f"Input should be less than or equal to {MAX_EPOCHS}"]
    return {f"hyperparameters.{name}": sentences for name, sentences in found.items()}


def apply_validation(job: Job, dataset: DatasetRef) -> Job:
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
    if job.awaiting_dataset is None:
        raise ValueError(f"job {job.id} is not held")
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
    """The job has failed: it has nothing to train on."""
    return _end(job, JobStatus.FAILED, now, error)


def cancel_awaiting(job: Job, now: datetime) -> Job:
    """The job is over before anybody has heard of it."""
    return replace(_end(job, JobStatus.CANCELLED, now), cancel_requested_at=now)


def unusable_error(job: Job, event: DatasetValidated) -> JobError:
    """Why the job can do nothing with the data set."""
    errors = "1 error" if event.error_count == 1 else f"{event.error_count:,} errors"
    return JobError(
        code=_code(job, event.dataset_id),
        message=f"The data set {event.name} cannot be trained on: its validation found {errors}.",
        advice="See what is wrong with it in its report, mend it, upload it again and submit a new job.",
    )


def mismatch_error(job: Job, dataset: DatasetRef) -> JobError | None:
    """Why the job's method can do nothing with a data set, though that is sound; None if it can."""
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
    """Whether the job can be asked to pause: it waits, or its cluster can save it and go on from there."""
    if job.state.status.terminal or job.cancel_requested_at is not None:
        return False
    return job.state.status not in LIVE or job.unpausable_attempt != job.state.attempt


def pause(job: Job, now: datetime) -> Job:
    """The job, asked to pause; it is paused when its GPUs are free."""
    return replace(job, pause_turn=job.pause_turn + 1, pause_requested_at=now)


def can_resume(job: Job) -> bool:
    """Whether the job is paused, and wanted."""
    return job.state.status is JobStatus.PAUSED and job.cancel_requested_at is None


def resume(job: Job) -> Job:
    """The job waits again."""
    return replace(
        job,
        pause_turn=job.pause_turn + 1,
        pause_requested_at=None,
        state=JobState.queued_again(job.state.attempt),
    )


RETRYABLE = frozenset({JobStatus.FAILED, JobStatus.CANCELLED})
EITHER_OR = (("epochs", "max_steps"), ("warmup_ratio", "warmup_steps"), ("validation_split", "validation_dataset_id"))
"""Hyperparameters that exclude each other: whichever is changed takes the other's place."""


def retry(job: Job) -> JobRequest:
    """The same request, at the prices of now."""
    return JobRequest(
        dataset_id=job.dataset.dataset_id,
        preset_id=job.preset_id,
        gpu=job.gpu,
        hyperparameters=TrainingSpec.model_validate(job.submitted),
        name=job.name,
        suffix=job.suffix,
        metadata=job.metadata,
        retry_of=job.id,
    )


def merge(submitted: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The submitted hyperparameters with clients over them; one that is changed to None is as if it was never given."""
    kept = dict(submitted)
    for one, other in (*EITHER_OR, *((other, one) for one, other in EITHER_OR)):
        if changes.get(one) is not None:
            kept.pop(other, None)
    return {name: value for name, value in (kept | changes).items() if value is not None}


def claim_of(operation: str, body: PydanticModel | None, key: str | None, now: datetime) -> IdempotencyClaim:
    """What a request of `/api` is recognised by: all fields that were given, however they were written."""
    return IdempotencyClaim(
        digest(operation, body.model_dump_json(exclude_unset=True) if body else ""), began_at=now, key=key
    )


def digest(*asked: str) -> bytes:
    """What is stored of all that was asked: the operation, what it is done to, the body."""
    return hashlib.sha256("\n".join(asked).encode()).digest()


def usable_datasets(
    request: JobRequest, inputs: Inputs
) -> tuple[DatasetRef | PendingDataset, DatasetRef | PendingDataset | None]:
    """The data sets as the job keeps them. Raises DatasetNotReady."""
    dataset, validation = _usable(request, inputs.dataset), None
    if inputs.validation:
        validation = _usable(request, inputs.validation, "hyperparameters.validation_dataset_id")
    return dataset, validation


def _usable(request: JobRequest, dataset: Dataset, field: str | None = None) -> DatasetRef | PendingDataset:
    """`field`: where the request names the data set, if that is not where all requests do."""
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
