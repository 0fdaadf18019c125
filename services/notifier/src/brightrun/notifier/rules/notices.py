"""Which words a fact is told in."""

from typing import TypeAlias
from uuid import UUID

from brightrun.contracts.events import (
    ArtifactReady,
    BudgetReached,
    DatasetValidated,
    DurationReached,
    JobCompleted,
    JobPaused,
    JobQueued,
    JobRefused,
    JobStarted,
)
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import JobError
from brightrun.contracts.values import to_cents
from brightrun.notifier.models import DisabledReason, Endpoint, Notice
from brightrun.notifier.rules.addresses import Target

Fact: TypeAlias = (
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

WHY_DISABLED: dict[DisabledReason, str] = {
    "user": "you turned it off",
    "gone": "its receiver answered 410 Gone",
    "failing": "nothing that was sent to it in the last days went through",
}


def notice_of(fact: Fact) -> Notice:
    """What the user is told of `fact`."""
    match fact:
        case JobQueued():
            notice = _job_queued(fact)
        case JobRefused():
            notice = _job_refused(fact)
        case JobStarted():
            notice = _job_started(fact)
        case JobPaused():
            notice = _job_paused(fact)
        case JobCompleted():
            notice = _job_ended(fact)
        case DatasetValidated():
            notice = _dataset_validated(fact)
        case ArtifactReady():
            notice = _artifact_ready(fact)
        case BudgetReached():
            notice = _budget_reached(fact)
        case DurationReached():
            notice = _duration_reached(fact)
    return notice


def webhook_disabled(endpoint: Endpoint, reason: DisabledReason) -> Notice:
    """What the user is told when their endpoint is sent nothing any more."""
    name = endpoint.description or Target.of(endpoint.url).host
    return Notice(
        type="webhook_disabled",
        title="Webhook Disabled",
        message=f'Your webhook "{name}" was disabled: {WHY_DISABLED[reason]}. Enable it again once its receiver works',
        priority="high",
        action_url="/notifications",
        metadata={"webhook_id": str(endpoint.id), "reason": reason},
    )


def _job_queued(fact: JobQueued) -> Notice:
    return Notice(
        type="job_queued",
        title="Training Job Queued",
        message=f'Your training job for "{fact.dataset.name}" has been queued and will start shortly',
        priority="low",
        action_url=_job_page(fact.job_id),
        metadata={"job_id": str(fact.job_id), "dataset_name": fact.dataset.name},
    )


def _job_refused(fact: JobRefused) -> Notice:
    return Notice(
        type="job_failed",
        title="Training Failed",
        message=f'Your training job "{fact.name}" could not start: {_sentence(fact.error)}',
        priority="high",
        action_url=_job_page(fact.job_id),
        metadata={
            "job_id": str(fact.job_id),
            "dataset_id": str(fact.dataset_id),
            "error_code": fact.error.code,
        },
    )


def _job_started(fact: JobStarted) -> Notice:
    return Notice(
        type="job_started",
        title="Training Started",
        message=f"Your training job has started on {fact.gpu.count}x {fact.gpu.type}",
        priority="medium",
        action_url=_job_page(fact.job_id),
        metadata={"job_id": str(fact.job_id), "attempt": fact.attempt},
    )


def _job_paused(fact: JobPaused) -> Notice:
    return Notice(
        type="job_paused",
        title="Training Paused",
        message=f'Your training job "{fact.name}" is paused at step {fact.step:,}; it holds no GPUs now',
        priority="low",
        action_url=_job_page(fact.job_id),
        metadata={"job_id": str(fact.job_id), "attempt": fact.attempt},
    )


def _job_ended(fact: JobCompleted) -> Notice:
    page = _job_page(fact.job_id)
    metadata = {"job_id": str(fact.job_id)} | ({"stopped_by": fact.stopped_by} if fact.stopped_by else {})
    match fact.outcome:
        case JobStatus.COMPLETED if fact.stopped_by:
            message = (
                f'Your training job "{fact.name}" was ended early by its {fact.stopped_by}; '
                "the model that it has trained so far is being stored"
            )
            return Notice("job_completed", "Training Completed", message, "medium", page, metadata)
        case JobStatus.CANCELLED if fact.stopped_by:
            message = f'Your training job "{fact.name}" was stopped by its {fact.stopped_by}'
            return Notice("job_cancelled", "Training Cancelled", message, "high", page, metadata)
        case JobStatus.COMPLETED:
            message = f'Your training job "{fact.name}" has completed; its model is being stored'
            return Notice("job_completed", "Training Completed", message, "medium", page, metadata)
        case JobStatus.CANCELLED:
            message = f'Your training job "{fact.name}" was cancelled'
            return Notice("job_cancelled", "Training Cancelled", message, "medium", page, metadata)
        case JobStatus.FAILED:
            message = f'Your training job "{fact.name}" failed: {_sentence(fact.error)}'
            code = {"error_code": fact.error.code} if fact.error else {}
            return Notice("job_failed", "Training Failed", message, "high", page, metadata | code)


def _sentence(error: JobError | None) -> str:
    if error is None:
        return "the cluster gave no reason"
    return f"{error.message} {error.advice or ''}".strip()


def _dataset_validated(fact: DatasetValidated) -> Notice:
    page = f"/datasets/{fact.dataset_id}"
    metadata = {"dataset_id": str(fact.dataset_id), "dataset_name": fact.name}
    if fact.status == "ready":
        message = (
            f'Your dataset "{fact.name}" is ready to train on: '
            f"{_count(fact.training_pairs, 'training pair')}, {_count(fact.tokens, 'token')}"
        )
        return Notice("dataset_ready", "Dataset Ready", message, "medium", page, metadata)
    message = f'Your dataset "{fact.name}" has {_count(fact.error_count, "error")}; see its report for each line'
    return Notice("dataset_invalid", "Dataset Invalid", message, "high", page, metadata)


def _artifact_ready(fact: ArtifactReady) -> Notice:
    return Notice(
        type="artifact_ready",
        title="Model Ready for Download",
        message=f"Your trained model is ready. Quality score: {fact.quality.score}/5 stars",
        priority="high",
        action_url=f"/models/{fact.artifact_id}",
        metadata={"artifact_id": str(fact.artifact_id), "job_id": str(fact.job_id)},
    )


def _budget_reached(fact: BudgetReached) -> Notice:
    used = f"has cost ${to_cents(fact.spent)} of at most ${to_cents(fact.cap)}"
    return _limit_reached("budget_reached", "Budget Reached", fact.job_id, used)


def _duration_reached(fact: DurationReached) -> Notice:
    used = f"has trained for {fact.trained / 60:,.0f} of at most {fact.cap / 60:,.0f} minutes"
    return _limit_reached("duration_reached", "Time Limit Reached", fact.job_id, used)


def _limit_reached(type_: str, title: str, job_id: UUID, used: str) -> Notice:
    message = f"Your training job {used}; it saves a checkpoint and stops"
    return Notice(type_, title, message, "high", _job_page(job_id), {"job_id": str(job_id)})


def _job_page(job_id: UUID) -> str:
    return f"/training/jobs/{job_id}"


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
