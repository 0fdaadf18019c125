"""The words that facts are told in."""

from decimal import Decimal

import pytest

from brightrun.contracts.event import Event
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import GpuConfig, JobError
from brightrun.notifier.rules.notification_templates import notification_of
from tests.builders import (
    artifact_ready,
    budget_reached,
    dataset_validated,
    duration_reached,
    job_completed,
    job_paused,
    job_queued,
    job_refused,
    job_started,
)

FAILED = job_completed(
    outcome=JobStatus.FAILED,
    error=JobError(code="out_of_memory", message="The GPU ran out of memory.", advice="Halve the batch size."),
)

WORDS = [
    (
        job_queued(),
        "job_queued",
        "low",
        'Your training job for "Workshop replies" has been queued and will start shortly',
    ),
    (job_started(), "job_started", "medium", "Your training job has started on 1x CPU"),
    (
        job_started(gpu=GpuConfig(type="A100-80GB", count=4)),
        "job_started",
        "medium",
        "Your training job has started on 4x A100-80GB",
    ),
    (
        job_completed(),
        "job_completed",
        "medium",
        'Your training job "Workshop replies" has completed; its model is being stored',
    ),
    (
        job_completed(outcome=JobStatus.CANCELLED),
        "job_cancelled",
        "medium",
        'Your training job "Workshop replies" was cancelled',
    ),
    (
        job_completed(stopped_by="budget"),
        "job_completed",
        "medium",
        'Your training job "Workshop replies" was ended early by its budget; '
        "the model that it has trained so far is being stored",
    ),
    (
        job_completed(outcome=JobStatus.CANCELLED, stopped_by="duration"),
        "job_cancelled",
        "high",
        'Your training job "Workshop replies" was stopped by its duration',
    ),
    (
        job_paused(),
        "job_paused",
        "low",
        'Your training job "Workshop replies" is paused at step 40; it holds no GPUs now',
    ),
    (
        duration_reached(),
        "duration_reached",
        "high",
        "Your training job has trained for 60 of at most 60 minutes; it saves a checkpoint and stops",
    ),
    (
        FAILED,
        "job_failed",
        "high",
        'Your training job "Workshop replies" failed: The GPU ran out of memory. Halve the batch size.',
    ),
    (
        job_completed(outcome=JobStatus.FAILED),
        "job_failed",
        "high",
        'Your training job "Workshop replies" failed: the cluster gave no reason',
    ),
    (
        job_refused(),
        "job_failed",
        "high",
        'Your training job "Workshop replies" could not start: The data set has 3 errors. Mend them.',
    ),
    (
        dataset_validated(),
        "dataset_ready",
        "medium",
        'Your dataset "Workshop replies" is ready to train on: 240 training pairs, 30,000 tokens',
    ),
    (
        dataset_validated(status="invalid", error_count=1),
        "dataset_invalid",
        "high",
        'Your dataset "Workshop replies" has 1 error; see its report for each line',
    ),
    (artifact_ready(), "artifact_ready", "high", "Your trained model is ready. Quality score: 4/5 stars"),
    (
        budget_reached(spent=Decimal("5.0149")),
        "budget_reached",
        "high",
        "Your training job has cost $5.01 of at most $5.00; it saves a checkpoint and stops",
    ),
]


@pytest.mark.parametrize(("fact", "kind", "priority", "message"), WORDS)
def test_each_event_has_its_notification(fact: Event, kind: str, priority: str, message: str) -> None:
    notice = notification_of(fact)
    assert (notice.type, notice.priority, notice.message) == (kind, priority, message)


def test_a_notice_leads_to_the_page_of_its_thing() -> None:
    queued, checked, stored = job_queued(), dataset_validated(), artifact_ready()
    assert notification_of(queued).action_url == f"/training/jobs/{queued.job_id}"
    assert notification_of(checked).action_url == f"/datasets/{checked.dataset_id}"
    assert notification_of(stored).action_url == f"/models/{stored.artifact_id}"
