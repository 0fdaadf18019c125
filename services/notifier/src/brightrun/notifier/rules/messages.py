"""Which webhook event a fact is, and how it is written and signed."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from standardwebhooks import Webhook as Signer

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
from brightrun.contracts.webhooks import ALL_EVENTS
from brightrun.notifier.models import Message
from brightrun.notifier.rules.notices import Fact

JobFact: TypeAlias = JobQueued | JobRefused | JobStarted | JobPaused | JobCompleted | BudgetReached | DurationReached

USER_AGENT = "BrightRun-Webhooks/1.0"
NIL = UUID(int=0)

SUCCEEDED = "fine_tuning.job.succeeded"
"""Told once the model is stored: whoever hears it goes on to use `fine_tuned_model`."""

ENDINGS = {
    JobStatus.COMPLETED: "fine_tuning.job.trained",
    JobStatus.FAILED: "fine_tuning.job.failed",
    JobStatus.CANCELLED: "fine_tuning.job.cancelled",
}


def message_of(fact: Fact) -> Message:
    """The event that webhooks tell of `fact`."""
    type_, data = _told(fact)
    return _message(fact.event_id, type_, data, fact.occurred_at)


def sample(event_id: UUID, event_type: str, now: datetime) -> Message:
    """An event of the type about a thing that does not exist: its id is all zeros."""
    names = {
        "fine_tuning": job_name(NIL),
        "budget": job_name(NIL),
        "duration": job_name(NIL),
        "dataset": file_name(NIL),
    }
    name = names.get(event_type.partition(".")[0], str(NIL))
    return _message(event_id, event_type, {"id": name}, now)


def is_wanted(event_type: str, patterns: Iterable[str]) -> bool:
    """Whether one of an endpoint's patterns names the type."""
    return any(
        pattern in (ALL_EVENTS, event_type) or (pattern.endswith(".*") and event_type.startswith(pattern[:-1]))
        for pattern in patterns
    )


def headers_of(event_id: UUID, body: str, secrets: Sequence[str], now: datetime) -> dict[str, str]:
    """The headers of the Standard Webhooks specification, with one signature for each secret."""
    name = event_name(event_id)
    signatures = [Signer(secret).sign(name, now, body) for secret in secrets]
    return {
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        "webhook-id": name,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def event_name(event_id: UUID) -> str:
    """The id of an event, the same at each of its receivers and in each attempt."""
    return f"evt_{event_id.hex}"


def job_name(job_id: UUID) -> str:
    """The id of a job as `/v1` knows it."""
    return f"ftjob-{job_id.hex}"


def file_name(dataset_id: UUID) -> str:
    """The id of a data set as `/v1` knows it."""
    return f"file-{dataset_id.hex}"


def _told(fact: Fact) -> tuple[str, dict[str, Any]]:
    match fact:
        case DatasetValidated():
            data = {"id": file_name(fact.dataset_id), "status": fact.status, "error_count": fact.error_count}
            return "dataset.validated", data
        case ArtifactReady():
            data = {"id": job_name(fact.job_id), "model_id": str(fact.artifact_id), "name": fact.name}
            return SUCCEEDED, data
    type_, more = _of_job(fact)
    return type_, {"id": job_name(fact.job_id), **more}


def _of_job(fact: JobFact) -> tuple[str, dict[str, Any]]:
    """The event's type, and what its data tells beside the job."""
    match fact:
        case BudgetReached():
            return "budget.reached", {"cap": f"{fact.cap:.4f}", "spent": f"{fact.spent:.4f}"}
        case DurationReached():
            return "duration.reached", {"cap": fact.cap, "trained": fact.trained}
        case JobStarted():
            return "fine_tuning.job.started", {"attempt": fact.attempt}
        case JobPaused():
            return "fine_tuning.job.paused", {"step": fact.step}
        case JobQueued() | JobRefused() | JobCompleted():
            return _status_type(fact), {}


def _status_type(fact: JobQueued | JobRefused | JobCompleted) -> str:
    match fact:
        case JobQueued():
            return "fine_tuning.job.queued"
        case JobRefused():
            return ENDINGS[JobStatus.FAILED]
        case JobCompleted():
            return ENDINGS[fact.outcome]


def _message(event_id: UUID, type_: str, data: dict[str, Any], created_at: datetime) -> Message:
    body = {
        "id": event_name(event_id),
        "object": "event",
        "created_at": int(created_at.timestamp()),
        "type": type_,
        "data": data,
    }
    return Message(event_id, type_, json.dumps(body, separators=(",", ":")))
