"""Which webhook event a fact is, who wants it, and how it is signed."""

import json
from datetime import timedelta

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from brightrun.contracts.event import Event
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.values import new_id, utc_now
from brightrun.contracts.webhooks import EVENT_TYPES
from brightrun.notifier.rules.webhook_events import headers_of, is_subscribed, sample, webhook_event_of
from tests.builders import (
    NOON,
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

TYPES = [
    (job_queued(), "fine_tuning.job.queued"),
    (job_refused(), "fine_tuning.job.failed"),
    (job_started(), "fine_tuning.job.started"),
    (job_completed(), "fine_tuning.job.trained"),
    (job_completed(outcome=JobStatus.FAILED), "fine_tuning.job.failed"),
    (job_completed(outcome=JobStatus.CANCELLED), "fine_tuning.job.cancelled"),
    (dataset_validated(), "dataset.validated"),
    (artifact_ready(), "fine_tuning.job.succeeded"),
    (budget_reached(), "budget.reached"),
    (duration_reached(), "duration.reached"),
    (job_paused(), "fine_tuning.job.paused"),
]


@pytest.mark.parametrize(("fact", "event_type"), TYPES)
def test_each_fact_is_one_event(fact: Event, event_type: str) -> None:
    message = webhook_event_of(fact)
    body = json.loads(message.body)
    assert message.type == body["type"] == event_type
    assert message.event_id == fact.event_id
    assert (body["id"], body["object"]) == (f"evt_{fact.event_id.hex}", "event")
    assert body["created_at"] == int(fact.occurred_at.timestamp())
    assert body["data"]["id"]


def test_all_events_that_are_sent_are_documented() -> None:
    assert {event_type for _, event_type in TYPES} == set(EVENT_TYPES)


def test_the_data_tells_what_the_type_does_not() -> None:
    checked, stored, capped = dataset_validated(status="invalid", error_count=3), artifact_ready(), budget_reached()
    assert json.loads(webhook_event_of(checked).body)["data"] == {
        "id": f"file-{checked.dataset_id.hex}",
        "status": "invalid",
        "error_count": 3,
    }
    assert json.loads(webhook_event_of(stored).body)["data"] == {
        "id": f"ftjob-{stored.job_id.hex}",
        "model_id": str(stored.artifact_id),
        "name": stored.name,
    }
    assert json.loads(webhook_event_of(capped).body)["data"] == {
        "id": f"ftjob-{capped.job_id.hex}",
        "cap": float(capped.cap),
        "spent": float(capped.spent),
    }


@pytest.mark.parametrize("event_type", [*EVENT_TYPES, "something.new"])
def test_a_sample_is_about_nothing_that_exists(event_type: str) -> None:
    body = json.loads(sample(new_id(), event_type, NOON).body)
    assert body["type"] == event_type
    assert set(body["data"]["id"].rpartition("-")[2]) == {"0"}


@pytest.mark.parametrize(
    ("patterns", "wanted"),
    [
        (["*"], True),
        (["fine_tuning.job.failed"], True),
        (["fine_tuning.job.*"], True),
        (["fine_tuning.*"], True),
        (["fine_tuning.job.trained", "fine_tuning.job.failed"], True),
        (["fine_tuning"], False),
        (["fine_tuning.job"], False),
        (["fine_tuning.job.failed.*"], False),
        (["fine.*"], False),
        (["model.*"], False),
        ([], False),
    ],
)
def test_a_pattern_matches_a_type_by_name_by_prefix_or_all(patterns: list[str], wanted: bool) -> None:
    assert is_subscribed("fine_tuning.job.failed", patterns) is wanted


def test_each_secret_signs_and_no_other_fits() -> None:
    secrets = ["whsec_" + letter * 43 + "=" for letter in "ABC"]
    body, now = '{"text":"ü"}', utc_now()
    headers = headers_of(new_id(), body, secrets[:2], now)
    for secret in secrets[:2]:
        assert Webhook(secret).verify(body, headers) == {"text": "ü"}
    with pytest.raises(WebhookVerificationError):
        Webhook(secrets[2]).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secrets[0]).verify(body, headers_of(new_id(), body, secrets, now - timedelta(minutes=6)))
