"""Webhook events: their types, bodies and signatures."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
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
from brightrun.contracts.public_ids import EVENT, FILE, JOB, write_id
from brightrun.contracts.webhooks import ALL_EVENTS
from brightrun.notifier.models import WebhookEvent
from brightrun.notifier.rules.notification_templates import NotifiableEvent

USER_AGENT = "BrightRun-Webhooks/1.0"
NIL = UUID(int=0)

SUCCEEDED = "fine_tuning.job.succeeded"
"""Sent once the model is stored, so that a receiver can use `fine_tuned_model`."""

OUTCOMES = {
    JobStatus.COMPLETED: "fine_tuning.job.trained",
    JobStatus.FAILED: "fine_tuning.job.failed",
    JobStatus.CANCELLED: "fine_tuning.job.cancelled",
}


def webhook_event_of(event: NotifiableEvent) -> WebhookEvent:
    """The webhook event of a domain event."""
    event_type, data = _type_and_data(event)
    return _write(event.event_id, event_type, data, event.occurred_at)


def sample(event_id: UUID, event_type: str, now: datetime) -> WebhookEvent:
    """An event of the type about an object that does not exist: its id is all zeros."""
    prefixes = {"fine_tuning": JOB, "budget": JOB, "duration": JOB, "dataset": FILE}
    prefix = prefixes.get(event_type.partition(".")[0])
    name = write_id(prefix, NIL) if prefix else str(NIL)
    return _write(event_id, event_type, {"id": name}, now)


def is_subscribed(event_type: str, patterns: Iterable[str]) -> bool:
    """Whether one of an endpoint's patterns matches the type."""
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
    return write_id(EVENT, event_id)


def _type_and_data(event: NotifiableEvent) -> tuple[str, dict[str, Any]]:
    data: dict[str, Any] = {}
    match event:
        case DatasetValidated():
            data = {"status": event.status, "error_count": event.error_count}
            return "dataset.validated", {"id": write_id(FILE, event.dataset_id), **data}
        case ArtifactReady():
            event_type, data = SUCCEEDED, {"model_id": str(event.artifact_id), "name": event.name}
        case BudgetReached():
            event_type, data = "budget.reached", {"cap": float(event.cap), "spent": float(event.spent)}
        case DurationReached():
            event_type, data = "duration.reached", {"cap": event.cap, "trained": event.trained}
        case JobStarted():
            event_type, data = "fine_tuning.job.started", {"attempt": event.attempt}
        case JobPaused():
            event_type, data = "fine_tuning.job.paused", {"step": event.step}
        case JobQueued():
            event_type = "fine_tuning.job.queued"
        case JobRefused():
            event_type = OUTCOMES[JobStatus.FAILED]
        case JobCompleted():
            event_type = OUTCOMES[event.outcome]
    return event_type, {"id": write_id(JOB, event.job_id), **data}


def _write(event_id: UUID, event_type: str, data: dict[str, Any], created_at: datetime) -> WebhookEvent:
    body = {
        "id": event_name(event_id),
        "object": "event",
        "created_at": int(created_at.timestamp()),
        "type": event_type,
        "data": data,
    }
    return WebhookEvent(event_id, event_type, json.dumps(body, separators=(",", ":")))
