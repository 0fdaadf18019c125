"""Events and values with sensible content; tests name only what matters to them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from brightrun.contracts.events import (
    ADAPTER_FILES,
    AdapterRef,
    ArtifactFile,
    ArtifactReady,
    BudgetReached,
    DatasetRef,
    DatasetValidated,
    DurationReached,
    JobAttemptLost,
    JobCancelRequested,
    JobCompleted,
    JobDeleted,
    JobFinishRequested,
    JobLogged,
    JobPaused,
    JobPauseRequested,
    JobProgress,
    JobQueued,
    JobRefused,
    JobResumeRequested,
    JobStarted,
    Pricing,
    Quality,
)
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import GpuConfig, JobError, MetricPoint, TrainingSpec
from brightrun.contracts.values import new_id

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DIGEST = "ab" * 32
UNKNOWN_ID = "01a20000-0000-7000-8000-000000000000"
"""Nothing has this id. Parameters of tests are the same in each worker, which `new_id()` is not."""


def dataset_ref(**changes: Any) -> DatasetRef:
    values = {
        "dataset_id": new_id(),
        "name": "Workshop replies",
        "format": "openai_chat",
        "training_pairs": 240,
        "tokens": 30_000,
        "sha256": DIGEST,
    }
    return DatasetRef(**values | changes)


def adapter_ref(**changes: Any) -> AdapterRef:
    files = tuple(ArtifactFile(name=name, size=1024, sha256=DIGEST) for name in sorted(ADAPTER_FILES))
    return AdapterRef(**{"artifact_id": new_id(), "name": "Workshop assistant", "files": files} | changes)


def pricing(hourly_rate: str = "0.0500", storage: str = "0.5000") -> Pricing:
    return Pricing(hourly_rate=Decimal(hourly_rate), storage=Decimal(storage))


def job_queued(**changes: Any) -> JobQueued:
    values = {
        "job_id": new_id(),
        "user_id": new_id(),
        "name": "Workshop replies",
        "spec": TrainingSpec(epochs=1).resolved(),
        "gpu": GpuConfig(type="CPU"),
        "dataset": dataset_ref(),
        "pricing": pricing(),
        "estimated_cost": Decimal("0.52"),
    }
    return JobQueued(**values | changes)


def job_cancel_requested(**changes: Any) -> JobCancelRequested:
    return JobCancelRequested(**{"job_id": new_id(), "user_id": new_id()} | changes)


def job_pause_requested(**changes: Any) -> JobPauseRequested:
    return JobPauseRequested(**{"job_id": new_id(), "user_id": new_id(), "turn": 1} | changes)


def job_finish_requested(**changes: Any) -> JobFinishRequested:
    return JobFinishRequested(**{"job_id": new_id(), "user_id": new_id()} | changes)


def job_resume_requested(**changes: Any) -> JobResumeRequested:
    return JobResumeRequested(**{"job_id": new_id(), "user_id": new_id(), "turn": 2} | changes)


def job_refused(**changes: Any) -> JobRefused:
    values = {
        "job_id": new_id(),
        "user_id": new_id(),
        "name": "Workshop replies",
        "dataset_id": new_id(),
        "error": JobError(code="invalid_training_file", message="The data set has 3 errors.", advice="Mend them."),
    }
    return JobRefused(**values | changes)


def job_deleted(**changes: Any) -> JobDeleted:
    return JobDeleted(**{"job_id": new_id(), "user_id": new_id()} | changes)


def job_started(**changes: Any) -> JobStarted:
    values = {
        "job_id": new_id(),
        "user_id": new_id(),
        "attempt": 1,
        "cluster": "local",
        "external_job_id": "run-1",
        "gpu": GpuConfig(type="CPU"),
        "dataset_name": "Workshop replies",
    }
    return JobStarted(**values | changes)


def job_progress(**changes: Any) -> JobProgress:
    seq = changes.get("seq", 1)
    values = {
        "job_id": new_id(),
        "user_id": new_id(),
        "attempt": 1,
        "seq": seq,
        "status": JobStatus.RUNNING,
        "stage": "training",
        "percent": 10.0,
        "step": seq,
        "total_steps": 90,
        "epoch": 0.1,
        "total_epochs": 1.0,
        "trained_tokens": 100 * seq,
        "started_at": NOON,
        "points": (MetricPoint(step=seq, epoch=0.1, training_loss=2.0, learning_rate=1e-4, tokens_per_second=900.0),),
    }
    return JobProgress(**values | changes)


def job_attempt_lost(**changes: Any) -> JobAttemptLost:
    values = {
        "job_id": new_id(),
        "user_id": new_id(),
        "attempt": 1,
        "cluster": "local",
        "error": JobError(code="run_lost", message="The node went away.", retryable=True),
    }
    return JobAttemptLost(**values | changes)


def job_paused(**changes: Any) -> JobPaused:
    values = {
        "job_id": new_id(),
        "user_id": new_id(),
        "name": "Workshop replies",
        "attempt": 1,
        "cluster": "local",
        "gpu": GpuConfig(type="CPU"),
        "pricing": pricing(),
        "started_at": NOON,
        "finished_at": NOON + timedelta(minutes=2),
        "step": 40,
    }
    return JobPaused(**values | changes)


def job_completed(**changes: Any) -> JobCompleted:
    values = {
        "job_id": new_id(),
        "user_id": new_id(),
        "name": "Workshop replies",
        "attempt": 1,
        "outcome": JobStatus.COMPLETED,
        "cluster": "local",
        "external_job_id": "run-1",
        "spec": TrainingSpec(epochs=1).resolved(),
        "gpu": GpuConfig(type="CPU"),
        "dataset": dataset_ref(),
        "pricing": pricing(),
        "started_at": NOON,
        "finished_at": NOON + timedelta(minutes=3),
        "trained_tokens": 9_000,
    }
    return JobCompleted(**values | changes)


def dataset_validated(**changes: Any) -> DatasetValidated:
    values = {
        "dataset_id": new_id(),
        "user_id": new_id(),
        "name": "Workshop replies",
        "format": "openai_chat",
        "status": "ready",
        "training_pairs": 240,
        "tokens": 30_000,
        "tokens_estimated": True,
        "size": 120_000,
        "sha256": DIGEST,
        "error_count": 0,
    }
    return DatasetValidated(**values | changes)


def artifact_ready(**changes: Any) -> ArtifactReady:
    values = {
        "job_id": new_id(),
        "user_id": new_id(),
        "artifact_id": new_id(),
        "name": "Workshop replies",
        "dataset_name": "Workshop replies",
        "files": (ArtifactFile(name="adapter_model.safetensors", size=1024, sha256=DIGEST),),
        "quality": Quality(score=4, convergence="good", reason="The loss fell by half."),
        "pricing": pricing(),
    }
    return ArtifactReady(**values | changes)


def job_logged(**changes: Any) -> JobLogged:
    values = {
        "job_id": new_id(),
        "user_id": new_id(),
        "id": 8,
        "previous_id": 0,
        "type": "queued",
        "level": "info",
        "message": "Queued.",
        "data": {"training_pairs": 240},
    }
    return JobLogged(**values | changes)


def budget_reached(**changes: Any) -> BudgetReached:
    values = {"job_id": new_id(), "user_id": new_id(), "cap": Decimal(5), "spent": Decimal("5.01")}
    return BudgetReached(**values | changes)


def duration_reached(**changes: Any) -> DurationReached:
    return DurationReached(**{"job_id": new_id(), "user_id": new_id(), "cap": 3600, "trained": 3570.5} | changes)
