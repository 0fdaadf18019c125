"""Events reach their receivers: signed, again after failures, at least once and under one id."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from openai.types.webhooks import (
    FineTuningJobCancelledWebhookEvent,
    FineTuningJobFailedWebhookEvent,
    FineTuningJobSucceededWebhookEvent,
)
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.values import new_id
from brightrun.local.engines import Postgres
from brightrun.notifier import loops
from brightrun.notifier.secret_box import SecretBox
from brightrun.notifier.webhook_sender import WebhookSender
from brightrun.runtime.database import Pool
from tests.builders import (
    NOON,
    artifact_ready,
    budget_reached,
    dataset_validated,
    job_completed,
    job_queued,
    job_refused,
    job_started,
)
from tests.services.notifier.conftest import PRIVATE_HOSTS, WEBHOOK_KEY, Webhooks, asking, deliver
from tests.services.notifier.receiver import Receiver

PROCESS_SECONDS = 60


@pytest.fixture
def webhooks(webhooks_of: Callable[[UUID], Webhooks]) -> Webhooks:
    return webhooks_of(new_id())


async def test_openais_client_unwraps_the_end_of_a_job(webhooks: Webhooks, receiver: Receiver, pool: Pool):
    made = await webhooks.create(f"{receiver.url}/hooks?team=ours")
    fields = {"user_id": webhooks.user, "occurred_at": NOON}
    jobs = [
        artifact_ready(**fields),
        job_completed(outcome=JobStatus.FAILED, **fields),
        job_completed(outcome=JobStatus.CANCELLED, **fields),
    ]
    ends = [
        FineTuningJobSucceededWebhookEvent,
        FineTuningJobFailedWebhookEvent,
        FineTuningJobCancelledWebhookEvent,
    ]
    await deliver(pool, *jobs)
    assert await webhooks.send() == 3
    events = [received.unwrap(made["secret"]) for received in receiver.received]
    assert [type(event) for event in events] == ends
    assert [event.data.id for event in events] == [f"ftjob-{job.job_id.hex}" for job in jobs]
    assert [event.id for event in events] == [received.id for received in receiver.received]
    assert {(event.object, event.created_at) for event in events} == {("event", int(NOON.timestamp()))}
    assert {(received.method, received.path) for received in receiver.received} == {("POST", "/hooks?team=ours")}


async def test_a_webhook_follows_the_standard_webhooks_specification(
    webhooks: Webhooks, receiver: Receiver, pool: Pool
):
    made = await webhooks.create(receiver.url)
    started = job_started(user_id=webhooks.user, attempt=2)
    await deliver(pool, started)
    await webhooks.send()
    [received] = receiver.received
    assert Verifier(made["secret"]).verify(received.body, received.headers) == {
        "id": f"evt_{started.event_id.hex}",
        "object": "event",
        "created_at": int(started.occurred_at.timestamp()),
        "type": "fine_tuning.job.started",
        "data": {"id": f"ftjob-{started.job_id.hex}", "attempt": 2},
    }
    assert received.headers["content-type"] == "application/json"
    assert received.headers["host"] == receiver.url.removeprefix("http://")
    with pytest.raises(WebhookVerificationError):
        Verifier(made["secret"]).verify(received.body + b" ", received.headers)


async def test_each_endpoint_gets_each_event_that_it_wants_once(webhooks: Webhooks, receiver: Receiver, pool: Pool):
    wants = [["*"], ["fine_tuning.job.*"], ["dataset.*", "budget.reached"], ["batch.completed"]]
    for number, event_types in enumerate(wants):
        await webhooks.create(f"{receiver.url}/{number}", event_types=event_types)
    off = await webhooks.create(f"{receiver.url}/off")
    await webhooks.change(off, enabled=False)
    makers = [job_queued, job_refused, dataset_validated, artifact_ready, budget_reached]
    facts = [make(user_id=webhooks.user) for make in makers]
    await deliver(pool, *facts, *facts, job_queued())
    await webhooks.send()
    got = {
        path: sorted(json.loads(received.body)["type"] for received in receiver.received if received.path == path)
        for path in ("/0", "/1", "/2", "/3", "/off")
    }
    assert got == {
        "/0": [
            "budget.reached",
            "dataset.validated",
            "fine_tuning.job.failed",
            "fine_tuning.job.queued",
            "fine_tuning.job.succeeded",
        ],
        "/1": ["fine_tuning.job.failed", "fine_tuning.job.queued", "fine_tuning.job.succeeded"],
        "/2": ["budget.reached", "dataset.validated"],
        "/3": [],
        "/off": [],
    }
    assert await webhooks.send() == 0


async def test_what_failed_is_sent_again_under_the_same_id_and_logged(
    webhooks: Webhooks, receiver: Receiver, pool: Pool
):
    made = await webhooks.create(receiver.url)
    await deliver(pool, job_queued(user_id=webhooks.user))
    receiver.answers = [500, 302]
    before = datetime.now(UTC)
    assert await webhooks.send() == 1
    assert await webhooks.send() == 0, "the pause is kept"
    [delivery] = await webhooks.deliveries(made)
    pause = datetime.fromisoformat(delivery["next_attempt_at"]) - before
    assert timedelta(seconds=4.5) <= pause <= timedelta(seconds=10)
    assert (delivery["status"], delivery["event_type"]) == ("pending", "fine_tuning.job.queued")
    assert (await webhooks.get(made))["failing_since"] is not None

    for _ in range(2):
        await webhooks.let_pauses_end()
        assert await webhooks.send() == 1
    [delivery] = await webhooks.deliveries(made)
    assert (delivery["status"], delivery["next_attempt_at"]) == ("delivered", None)
    log = [(attempt["number"], attempt["status_code"], attempt["error"]) for attempt in delivery["attempts"]]
    assert log == [(3, 200, None), (2, 302, "answered 302"), (1, 500, "answered 500")]
    assert all(0 <= attempt["duration_ms"] < 10_000 for attempt in delivery["attempts"])
    assert {received.id for received in receiver.received} == {delivery["event_id"]}
    assert (await webhooks.get(made))["failing_since"] is None


async def test_after_nine_attempts_a_delivery_is_given_up(webhooks: Webhooks, receiver: Receiver, pool: Pool):
    made = await webhooks.create(receiver.url)
    await deliver(pool, job_queued(user_id=webhooks.user))
    receiver.answers = [500] * 20
    for _ in range(12):
        await webhooks.let_pauses_end()
        await webhooks.send()
    [delivery] = await webhooks.deliveries(made)
    assert (delivery["status"], delivery["next_attempt_at"], len(delivery["attempts"])) == ("failed", None, 9)
    assert len(receiver.received) == 9
    assert (await webhooks.get(made))["enabled"], "one lost event is no reason to stop"


async def test_retry_after_delays_the_next_attempt(webhooks: Webhooks, receiver: Receiver, pool: Pool):
    made = await webhooks.create(receiver.url)
    await deliver(pool, job_queued(user_id=webhooks.user))
    receiver.answers, receiver.headers = [429], {"Retry-After": "3600"}
    before = datetime.now(UTC)
    await webhooks.send()
    [delivery] = await webhooks.deliveries(made)
    assert datetime.fromisoformat(delivery["next_attempt_at"]) >= before + timedelta(hours=1)


async def test_a_receiver_that_answers_410_is_disabled(webhooks: Webhooks, receiver: Receiver, pool: Pool):
    made = await webhooks.create(receiver.url, description="Old one")
    await deliver(pool, job_queued(user_id=webhooks.user), job_started(user_id=webhooks.user))
    receiver.answers = [410]
    assert await webhooks.send() == 1
    gone = await webhooks.get(made)
    assert (gone["enabled"], gone["disabled_reason"]) == (False, "gone")
    assert sorted(item["status"] for item in await webhooks.deliveries(made)) == ["failed", "pending"]
    assert (await webhooks.told())[0] == "webhook_disabled"
    await deliver(pool, job_completed(user_id=webhooks.user))
    assert await webhooks.send() == 0

    await webhooks.change(made, enabled=True)
    assert await webhooks.send() == 1, "what waited goes out; what happened meanwhile was not for it"
    assert (await webhooks.get(made))["failing_since"] is None


async def test_an_endpoint_that_fails_for_five_days_is_disabled_and_its_owner_notified_once(
    webhooks: Webhooks, receiver: Receiver, pool: Pool
):
    made = await webhooks.create(receiver.url)
    receiver.answers = [500] * 5
    await deliver(pool, job_queued(user_id=webhooks.user))
    await webhooks.send()
    await pool.execute("UPDATE webhook_endpoints SET failing_since = failing_since - interval '5 days 1 minute'")
    await webhooks.let_pauses_end()
    await webhooks.send()
    failing = await webhooks.get(made)
    assert (failing["enabled"], failing["disabled_reason"]) == (False, "failing")
    assert (await webhooks.told()).count("webhook_disabled") == 1

    assert (await webhooks.change(made, enabled=True))["failing_since"] is None
    await webhooks.let_pauses_end()
    assert await webhooks.send() == 1
    assert (await webhooks.get(made))["enabled"], "it has five days again"


async def test_a_success_in_between_forgives_what_failed_before(webhooks: Webhooks, receiver: Receiver, pool: Pool):
    made = await webhooks.create(receiver.url)
    await deliver(pool, *(job_queued(user_id=webhooks.user) for _ in range(3)))
    await pool.execute("UPDATE webhook_endpoints SET failing_since = now() - interval '6 days'")
    receiver.answers = [200, 500, 500]
    assert await webhooks.send() == 3
    assert (await webhooks.get(made))["enabled"]


async def test_both_secrets_sign_for_a_day_after_a_rotation(webhooks: Webhooks, receiver: Receiver, pool: Pool):
    made = await webhooks.create(receiver.url)
    rotated = (await webhooks.client.post(f"/webhooks/{made['id']}/rotate", json={})).json()["data"]
    assert rotated["secret"] != made["secret"]
    await deliver(pool, job_completed(user_id=webhooks.user))
    await webhooks.send()
    [received] = receiver.received
    assert len(received.headers["webhook-signature"].split(" ")) == 2
    for secret in (made["secret"], rotated["secret"]):
        received.unwrap(secret)
        Verifier(secret).verify(received.body, received.headers)

    await pool.execute("UPDATE webhook_endpoints SET previous_until = now()")
    await deliver(pool, job_completed(user_id=webhooks.user))
    await webhooks.send()
    received = receiver.received[-1]
    received.unwrap(rotated["secret"])
    with pytest.raises(WebhookVerificationError):
        Verifier(made["secret"]).verify(received.body, received.headers)
    await loops.prune(pool)
    assert await pool.fetchval("SELECT previous_secret FROM webhook_endpoints") is None


async def test_a_leaked_secret_stops_signing_at_once(webhooks: Webhooks, receiver: Receiver, pool: Pool):
    made = await webhooks.create(receiver.url)
    answer = await webhooks.client.post(f"/webhooks/{made['id']}/rotate", json={"keep_previous": False})
    await deliver(pool, job_completed(user_id=webhooks.user))
    await webhooks.send()
    [received] = receiver.received
    received.unwrap(answer.json()["data"]["secret"])
    with pytest.raises(WebhookVerificationError):
        Verifier(made["secret"]).verify(received.body, received.headers)


async def test_a_delivery_is_replayed_under_its_own_id(webhooks: Webhooks, receiver: Receiver, pool: Pool):
    made = await webhooks.create(receiver.url)
    await deliver(pool, job_completed(user_id=webhooks.user))
    await webhooks.send()
    [delivery] = await webhooks.deliveries(made)
    path = f"/webhooks/{made['id']}/deliveries/{delivery['id']}/replay"
    replayed = (await webhooks.client.post(path)).json()["data"]
    assert (replayed["status"], len(replayed["attempts"])) == ("pending", 1)
    assert await webhooks.send() == 1
    [delivery] = await webhooks.deliveries(made)
    assert (delivery["status"], [attempt["number"] for attempt in delivery["attempts"]]) == ("delivered", [2, 1])
    first, second = receiver.received
    assert (first.id, first.body) == (second.id, second.body)

    await webhooks.change(made, enabled=False)
    refused = await webhooks.client.post(path)
    assert (refused.status_code, refused.json()["code"]) == (409, "webhook_disabled")
    assert await webhooks.send() == 0


async def test_a_replay_has_all_retries_again(webhooks: Webhooks, receiver: Receiver, pool: Pool):
    made = await webhooks.create(receiver.url)
    await deliver(pool, job_completed(user_id=webhooks.user))
    receiver.answers = [500] * 10
    for _ in range(9):
        await webhooks.send()
        await webhooks.let_pauses_end()
    [delivery] = await webhooks.deliveries(made)
    assert delivery["status"] == "failed"
    await webhooks.client.post(f"/webhooks/{made['id']}/deliveries/{delivery['id']}/replay")
    await webhooks.send()
    [delivery] = await webhooks.deliveries(made)
    assert (delivery["status"], delivery["attempts"][0]["number"]) == ("pending", 10)


async def test_a_test_is_sent_now_and_tells_what_came_back(webhooks: Webhooks, receiver: Receiver):
    made = await webhooks.create(receiver.url, event_types=["fine_tuning.job.trained"])
    path = f"/webhooks/{made['id']}/test"
    result = (await webhooks.client.post(path, json={})).json()["data"]
    assert (result["event_type"], result["status_code"], result["error"]) == ("fine_tuning.job.succeeded", 200, None)
    event = receiver.received[0].unwrap(made["secret"])
    assert isinstance(event, FineTuningJobSucceededWebhookEvent)
    assert event.data.id == f"ftjob-{'0' * 32}"

    receiver.answers = [503]
    failed = (await webhooks.client.post(path, json={"event_type": "fine_tuning.job.trained"})).json()["data"]
    assert (failed["event_type"], failed["status_code"], failed["error"]) == (
        "fine_tuning.job.trained",
        503,
        "answered 503",
    )
    assert await webhooks.deliveries(made) == [], "a test is not in the log"
    assert (await webhooks.get(made))["failing_since"] is None
    wild = await webhooks.client.post(path, json={"event_type": "model.*"})
    assert (wild.status_code, set(wild.json()["details"])) == (400, {"event_type"})


async def test_an_attempt_without_a_response_has_a_reason(webhooks: Webhooks, receiver: Receiver, pool: Pool):
    made = await webhooks.create("http://127.0.0.1:9/")
    result = (await webhooks.client.post(f"/webhooks/{made['id']}/test", json={})).json()["data"]
    assert (result["status_code"], result["error"]) == (None, "no connection")
    await deliver(pool, job_queued(user_id=webhooks.user))
    await webhooks.send()
    [delivery] = await webhooks.deliveries(made)
    assert (delivery["attempts"][0]["status_code"], delivery["attempts"][0]["error"]) == (None, "no connection")


async def test_with_another_webhook_key_a_secret_has_to_be_rotated(webhooks: Webhooks, receiver: Receiver):
    made = await webhooks.create(receiver.url)
    key = "another-key" * 4
    webhooks.client = asking(webhooks.pool, WebhookSender(SecretBox(key), PRIVATE_HOSTS), key)(webhooks.user)
    result = (await webhooks.client.post(f"/webhooks/{made['id']}/test", json={})).json()["data"]
    assert result["error"] == "the secret cannot be read any more: rotate it"
    rotated = (await webhooks.client.post(f"/webhooks/{made['id']}/rotate", json={})).json()["data"]
    result = (await webhooks.client.post(f"/webhooks/{made['id']}/test", json={})).json()["data"]
    assert result["status_code"] == 200
    receiver.received[0].unwrap(rotated["secret"])


async def test_a_notifier_killed_after_it_sent_sends_again_under_the_same_id(
    webhooks: Webhooks, receiver: Receiver, pool: Pool, postgres: Postgres
):
    made = await webhooks.create(receiver.url)
    await deliver(pool, job_completed(user_id=webhooks.user))
    await _die(postgres, "webhook.leased")
    assert receiver.received == []
    await webhooks.let_pauses_end()
    await _die(postgres, "webhook.sent")
    assert len(receiver.received) == 1
    [delivery] = await webhooks.deliveries(made)
    assert (delivery["status"], delivery["attempts"]) == ("pending", [])
    assert await webhooks.send() == 0, "the dead one's lease is still good"

    await webhooks.let_pauses_end()
    assert await webhooks.send() == 1
    first, second = receiver.received
    assert (first.id, first.body) == (second.id, second.body)
    [delivery] = await webhooks.deliveries(made)
    assert (delivery["status"], len(delivery["attempts"])) == ("delivered", 1)


async def _die(postgres: Postgres, failpoint: str) -> None:
    environment = {
        "FAILPOINT": failpoint,
        "BRIGHTRUN_PORT": "0",
        "BRIGHTRUN_KAFKA_BOOTSTRAP": "unused",
        "BRIGHTRUN_SERVICE_SECRET": "unused",
        "BRIGHTRUN_DATABASE_URL": postgres.url("notifier"),
        "BRIGHTRUN_WEBHOOK_KEY": WEBHOOK_KEY,
        "BRIGHTRUN_WEBHOOK_PRIVATE_HOSTS": ", ".join(PRIVATE_HOSTS),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.services.notifier.send_once", env=os.environ | environment
    )
    assert await asyncio.wait_for(process.wait(), PROCESS_SECONDS) == -signal.SIGKILL


async def test_a_sender_that_lost_its_lease_changes_nothing(
    webhooks: Webhooks, receiver: Receiver, pool: Pool, sender: WebhookSender
):
    made = await webhooks.create(receiver.url)
    await deliver(pool, job_completed(user_id=webhooks.user))
    send = sender.send

    async def send_late(*args: Any) -> Any:
        """Another sender takes over and succeeds while this one waits for a receiver that fails."""
        sender.send = send
        await webhooks.let_pauses_end()
        assert await webhooks.send() == 1
        receiver.answers = [500]
        return await send(*args)

    sender.send = send_late
    await loops.deliver_next(pool, sender)
    [delivery] = await webhooks.deliveries(made)
    assert (delivery["status"], [item["status_code"] for item in delivery["attempts"]]) == ("delivered", [200])
    assert (await webhooks.get(made))["failing_since"] is None


async def test_one_slow_endpoint_does_not_keep_the_others_waiting(
    webhooks: Webhooks, receiver: Receiver, pool: Pool, sender: WebhookSender
):
    """While one event of an endpoint is on its way, the next senders serve other endpoints."""
    await webhooks.create(f"{receiver.url}/slow", event_types=["fine_tuning.job.*"])
    await deliver(pool, *(job_queued(user_id=webhooks.user) for _ in range(3)))
    await webhooks.create(f"{receiver.url}/quick")
    send, stuck, go_on = sender.send, asyncio.Event(), asyncio.Event()

    async def send_slowly(*args: Any) -> Any:
        stuck.set()
        await go_on.wait()
        return await send(*args)

    sender.send = send_slowly
    slow = asyncio.create_task(loops.deliver_next(pool, sender))
    await stuck.wait()
    sender.send = send
    assert await webhooks.send() == 0
    await deliver(pool, dataset_validated(user_id=webhooks.user))
    assert await webhooks.send() == 1
    assert [received.path for received in receiver.received] == ["/quick"]
    go_on.set()
    await slow
    assert await webhooks.send() == 2


async def test_old_deliveries_are_forgotten(webhooks: Webhooks, receiver: Receiver, pool: Pool):
    made = await webhooks.create(receiver.url)
    await deliver(pool, job_queued(user_id=webhooks.user))
    await webhooks.send()
    await pool.execute("UPDATE webhook_deliveries SET created_at = now() - interval '31 days'")
    await deliver(pool, job_started(user_id=webhooks.user))
    assert await loops.prune(pool) is False
    assert [item["event_type"] for item in await webhooks.deliveries(made)] == ["fine_tuning.job.started"]
    assert await pool.fetchval("SELECT count(*) FROM webhook_attempts") == 0
