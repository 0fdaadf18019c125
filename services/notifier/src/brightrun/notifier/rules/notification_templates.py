"""The title and message of each notification."""

from typing import Any, TypeAlias

from brightrun.contracts.events import (
    ArtifactReady,
    BudgetReached,
    DatasetValidated,
    DurationReached,
    JobCompleted,
    JobEvent,
    JobPaused,
    JobQueued,
    JobRefused,
    JobStarted,
)
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import JobError
from brightrun.contracts.values import to_cents
from brightrun.notifier.models import DisabledReason, Endpoint, NewNotification, Priority
from brightrun.notifier.rules.addresses import Target

NotifiableEvent: TypeAlias = (
    JobQueued
    | JobRefused
    | JobStarted
    | JobPaused
    | JobCompleted
    | DatasetValidated
    | ArtifactReady
    | BudgetReached
    | DurationReached
)

DISABLED_REASONS: dict[DisabledReason, str] = {
    "user": "you turned it off",
    "gone": "its receiver answered 410 Gone",
    "failing": "nothing that was sent to it in the last days went through",
}


def notification_of(event: NotifiableEvent) -> NewNotification:
    """The notification of an event's user."""
    match event:
        case JobQueued():
            message = f'Your training job for "{event.dataset.name}" has been queued and will start shortly'
            extra = {"dataset_name": event.dataset.name}
            notification = _of_job(event, "job_queued", "Training Job Queued", message, "low", **extra)
        case JobRefused():
            message = f'Your training job "{event.name}" could not start: {_sentence(event.error)}'
            extra = {"dataset_id": str(event.dataset_id), "error_code": event.error.code}
            notification = _of_job(event, "job_failed", "Training Failed", message, "high", **extra)
        case JobStarted():
            message = f"Your training job has started on {event.gpu.count}x {event.gpu.type}"
            notification = _of_job(event, "job_started", "Training Started", message, attempt=event.attempt)
        case JobPaused():
            message = f'Your training job "{event.name}" is paused at step {event.step:,}; it holds no GPUs now'
            notification = _of_job(event, "job_paused", "Training Paused", message, "low", attempt=event.attempt)
        case JobCompleted():
            notification = _job_completed(event)
        case DatasetValidated():
            notification = _dataset_validated(event)
        case ArtifactReady():
            notification = _artifact_ready(event)
        case BudgetReached():
            message = f"has cost ${to_cents(event.spent)} of at most ${to_cents(event.cap)}"
            notification = _limit_reached(event, "budget_reached", "Budget Reached", message)
        case DurationReached():
            message = f"has trained for {event.trained / 60:,.0f} of at most {event.cap / 60:,.0f} minutes"
            notification = _limit_reached(event, "duration_reached", "Time Limit Reached", message)
    return notification


def webhook_disabled(endpoint: Endpoint, reason: DisabledReason) -> NewNotification:
    """The notification that an endpoint is disabled."""
    name = endpoint.description or Target.of(endpoint.url).host
    return NewNotification(
        type="webhook_disabled",
        title="Webhook Disabled",
        message=f'Your webhook "{name}" was disabled: {DISABLED_REASONS[reason]}. '
        "Enable it again once its receiver works",
        priority="high",
        action_url="/notifications",
        metadata={"webhook_id": str(endpoint.id), "reason": reason},
    )


def _of_job(
    event: JobEvent, type_: str, title: str, message: str, priority: Priority = "medium", **metadata: Any
) -> NewNotification:
    page = f"/training/jobs/{event.job_id}"
    return NewNotification(type_, title, message, priority, page, {"job_id": str(event.job_id), **metadata})


def _ender(stopped_by: str) -> str:
    return "you" if stopped_by == "user" else f"its {stopped_by}"


def _job_completed(event: JobCompleted) -> NewNotification:
    extra: dict[str, Any] = {"stopped_by": event.stopped_by} if event.stopped_by else {}
    job = f'Your training job "{event.name}"'
    match event.outcome:
        case JobStatus.COMPLETED if event.stopped_by:
            ended = (
                f"was ended early by {_ender(event.stopped_by)}; the model that it has trained so far is being stored"
            )
            return _of_job(event, "job_completed", "Training Completed", f"{job} {ended}", **extra)
        case JobStatus.COMPLETED:
            message = f"{job} has completed; its model is being stored"
            return _of_job(event, "job_completed", "Training Completed", message)
        case JobStatus.CANCELLED if event.stopped_by:
            message = f"{job} was stopped by {_ender(event.stopped_by)}"
            return _of_job(event, "job_cancelled", "Training Cancelled", message, "high", **extra)
        case JobStatus.CANCELLED:
            return _of_job(event, "job_cancelled", "Training Cancelled", f"{job} was cancelled")
        case JobStatus.FAILED:
            extra |= {"error_code": event.error.code} if event.error else {}
            message = f"{job} failed: {_sentence(event.error)}"
            return _of_job(event, "job_failed", "Training Failed", message, "high", **extra)


def _limit_reached(event: BudgetReached | DurationReached, type_: str, title: str, used: str) -> NewNotification:
    return _of_job(event, type_, title, f"Your training job {used}; it saves a checkpoint and stops", "high")


def _dataset_validated(event: DatasetValidated) -> NewNotification:
    page = f"/datasets/{event.dataset_id}"
    metadata = {"dataset_id": str(event.dataset_id), "dataset_name": event.name}
    if event.status == "ready":
        message = (
            f'Your dataset "{event.name}" is ready to train on: '
            f"{_count(event.training_pairs, 'training pair')}, {_count(event.tokens, 'token')}"
        )
        return NewNotification("dataset_ready", "Dataset Ready", message, "medium", page, metadata)
    message = f'Your dataset "{event.name}" has {_count(event.error_count, "error")}; see its report for each line'
    return NewNotification("dataset_invalid", "Dataset Invalid", message, "high", page, metadata)


def _artifact_ready(event: ArtifactReady) -> NewNotification:
    return NewNotification(
        type="artifact_ready",
        title="Model Ready for Download",
        message=f"Your trained model is ready. Quality score: {event.quality.score}/5 stars",
        priority="high",
        action_url=f"/models/{event.artifact_id}",
        metadata={"artifact_id": str(event.artifact_id), "job_id": str(event.job_id)},
    )


def _sentence(error: JobError | None) -> str:
    if error is None:
        return "the cluster gave no reason"
    return f"{error.message} {error.advice or ''}".strip()


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
