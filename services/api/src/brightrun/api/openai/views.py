"""Jobs, events and checkpoints as objects of the OpenAI dialect."""

import math
from datetime import datetime, timedelta
from typing import Any

from brightrun.api.checkpoints.models import Availability
from brightrun.api.jobs.models import Job
from brightrun.api.openai import ids
from brightrun.api.openai.schemas import (
    CheckpointMetrics,
    FineTuningJob,
    FineTuningJobCheckpoint,
    FineTuningJobEvent,
    JobErrorView,
    ResolvedDpo,
    ResolvedDpoHyperparameters,
    ResolvedHyperparameters,
    ResolvedMethod,
    ResolvedSupervised,
    StatusOfJob,
)
from brightrun.api.openai.translation import LEARNING_RATE
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import DEFAULT_BETA

STORING = timedelta(minutes=15)
"""How long a completed job is shown as running while its model is being stored.

A client that waits for `succeeded` then reads `fine_tuned_model`, which should be there.
"""
FILES = {"invalid_training_file": "training_file", "invalid_validation_file": "validation_file"}
"""The field of the file that an error is about."""
METRICS = {
    "train_loss": "training_loss",
    "train_mean_token_accuracy": "token_accuracy",
    "valid_loss": "validation_loss",
    "valid_mean_token_accuracy": "validation_token_accuracy",
    "full_valid_loss": "validation_loss",
    "full_valid_mean_token_accuracy": "validation_token_accuracy",
}
"""OpenAI's names of metrics → ours."""
STATUSES: dict[JobStatus, StatusOfJob] = {
    JobStatus.QUEUED: "queued",
    JobStatus.INITIALIZING: "queued",
    JobStatus.RUNNING: "running",
    JobStatus.PAUSED: "paused",
    JobStatus.COMPLETED: "succeeded",
    JobStatus.FAILED: "failed",
    JobStatus.CANCELLED: "cancelled",
}


def status_of(job: Job, now: datetime) -> StatusOfJob:
    """The status of the job at `now`."""
    if job.awaiting_dataset:
        return "validating_files"
    if job.state.status is JobStatus.COMPLETED and job.artifact is None and _is_fresh(job, now):
        return "running"
    return STATUSES[job.state.status]


def view(job: Job, now: datetime) -> FineTuningJob:
    """The job at `now`, which determines its estimated finish."""
    status = status_of(job, now)
    over = status in ("succeeded", "failed", "cancelled")
    hyperparameters = _hyperparameters(job)
    validation = job.spec.validation_dataset_id
    return FineTuningJob(
        id=ids.write(ids.JOB, job.id),
        created_at=_seconds(job.queued_at),
        finished_at=_seconds(job.ending.finished_at) if over and job.ending else None,
        model=_name_of_start(job) or job.submitted.get("base_model") or job.spec.base_model,
        fine_tuned_model=name_of_model(job) if job.artifact else None,
        organization_id=ids.write(ids.ORGANIZATION, job.user_id),
        status=status,
        hyperparameters=hyperparameters,
        method=_method(job, hyperparameters),
        training_file=ids.write(ids.FILE, job.dataset.dataset_id),
        validation_file=ids.write(ids.FILE, validation) if validation else None,
        result_files=[ids.write(ids.RESULTS, job.id)] if status == "succeeded" else [],
        trained_tokens=job.ending.trained_tokens if over and job.ending else None,
        error=_error(job),
        seed=job.spec.seed,
        estimated_finish=_estimate_finish(job, now) if status == "running" else None,
        integrations=[],
        metadata=job.metadata,
    )


def name_of_model(job: Job) -> str | None:
    """The name of the job's model; None until it is stored."""
    return ids.name_model(job.spec.base_model, job.suffix, job.artifact.artifact_id) if job.artifact else None


def _name_of_start(job: Job) -> str | None:
    """The name of the model or checkpoint that the job starts from; None for a base model."""
    start = job.start
    if start is None:
        return None
    checkpoint = start.checkpoint
    if checkpoint is None:
        return ids.name_model(job.spec.base_model, start.suffix, start.artifact_id)
    model = ids.name_model(job.spec.base_model, start.suffix, checkpoint.named_after)
    return ids.name_checkpoint(model, checkpoint.step)


def view_event(entry: dict[str, Any]) -> FineTuningJobEvent:
    """From a log entry of the tracker."""
    return FineTuningJobEvent(
        id=f"{ids.EVENT}{entry['id']}",
        created_at=_seconds(datetime.fromisoformat(entry["occurred_at"])),
        level=entry["level"],
        message=entry["message"],
        type="metrics" if entry["type"] == "metrics" else "message",
        data=_metrics(entry["data"]) if entry["type"] == "metrics" else entry["data"],
    )


def _metrics(data: dict[str, Any]) -> dict[str, Any]:
    """Measurements by OpenAI's names; what was not measured is left out."""
    return {
        **{name: data[name] for name in ("step", "total_steps") if name in data},
        **{name: data[ours] for name, ours in METRICS.items() if data.get(ours) is not None},
    }


def view_checkpoint(job: Job, checkpoint: dict[str, Any], availability: Availability) -> FineTuningJobCheckpoint:
    """From a checkpoint of the tracker."""
    step = checkpoint["step"]
    model = name_of_model(job) or ids.name_model(job.spec.base_model, job.suffix, job.id)
    return FineTuningJobCheckpoint(
        id=ids.write_checkpoint(job.id, checkpoint["id"]),
        created_at=_seconds(datetime.fromisoformat(checkpoint["saved_at"])),
        fine_tuning_job_id=ids.write(ids.JOB, job.id),
        fine_tuned_model_checkpoint=ids.name_checkpoint(model, step),
        step_number=step,
        metrics=CheckpointMetrics(
            step=step,
            **{name: checkpoint.get(ours) for name, ours in METRICS.items()},
        ),
        available=availability.available,
        expires_at=_seconds(availability.until) if availability.until else None,
    )


def _hyperparameters(job: Job) -> ResolvedHyperparameters:
    return ResolvedHyperparameters(
        n_epochs=job.spec.epochs or "auto",
        batch_size=job.spec.batch_size * job.spec.gradient_accumulation,
        learning_rate_multiplier=float(f"{job.spec.learning_rate / LEARNING_RATE:.10g}"),
    )


def _method(job: Job, hyperparameters: ResolvedHyperparameters) -> ResolvedMethod:
    if job.spec.method == "dpo":
        with_beta = ResolvedDpoHyperparameters(**hyperparameters.model_dump(), beta=job.spec.beta or DEFAULT_BETA)
        return ResolvedMethod(type="dpo", dpo=ResolvedDpo(hyperparameters=with_beta))
    return ResolvedMethod(supervised=ResolvedSupervised(hyperparameters=hyperparameters))


def _error(job: Job) -> JobErrorView | None:
    error = job.ending.error if job.ending else None
    if error is None:
        return None
    message = f"{error.message} {error.advice}" if error.advice else error.message
    param = FILES.get(error.code)
    return JobErrorView(code=error.code, message=message, param=param)


def _estimate_finish(job: Job, now: datetime) -> int | None:
    left = job.run.eta_seconds if job.run else None
    return int(now.timestamp() + left) if left is not None and math.isfinite(left) else None


def _is_fresh(job: Job, now: datetime) -> bool:
    return job.ending is not None and now - job.ending.finished_at < STORING


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
