"""Notifications: one for each event, in their user's list only."""

from datetime import timedelta

import pytest

from brightrun.contracts.events import CATALOGUE
from brightrun.contracts.values import new_id
from tests.builders import (
    NOON,
    UNKNOWN_ID,
    artifact_ready,
    budget_reached,
    dataset_validated,
    job_completed,
    job_queued,
    job_refused,
    job_started,
)
from tests.contracts.original import NOTIFICATION, NOTIFICATIONS, differences, without
from tests.services.notifier.conftest import deliver
from tests.services.slices import subscriptions_of


async def listed(ask, user, **params):
    answer = await ask(user).get("/notifications", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def test_each_fact_becomes_one_notification_however_often_it_is_delivered(pool, ask) -> None:
    user = new_id()
    makers = [job_queued, job_started, job_completed, dataset_validated, artifact_ready, budget_reached, job_refused]
    facts = [make(user_id=user, occurred_at=NOON + timedelta(minutes=at)) for at, make in enumerate(makers)]
    await deliver(pool, *facts, *reversed(facts))
    response = await listed(ask, user)
    assert [notification["type"] for notification in response["notifications"]] == [
        "job_failed",
        "budget_reached",
        "artifact_ready",
        "dataset_ready",
        "job_completed",
        "job_started",
        "job_queued",
    ]
    assert response["unread_count"] == 7
    notification = without(NOTIFICATION, "user_id")  # which the gateway adds
    assert differences(NOTIFICATIONS | {"notifications": [notification]}, response) == []


def test_every_topic_that_names_the_notifier_has_a_reader() -> None:
    read = {reader.event for reader in subscriptions_of("notifier").values()}
    assert read == {topic.event for topic in CATALOGUE if "notifier" in topic.readers}


async def test_a_notification_has_the_time_of_its_event(pool, ask) -> None:
    queued = job_queued(occurred_at=NOON)
    await deliver(pool, queued)
    [notification] = (await listed(ask, queued.user_id))["notifications"]
    assert notification | {"id": ""} == {
        "id": "",
        "type": "job_queued",
        "title": "Training Job Queued",
        "message": 'Your training job for "Workshop replies" has been queued and will start shortly',
        "priority": "low",
        "action_url": f"/training/jobs/{queued.job_id}",
        "metadata": {"job_id": str(queued.job_id), "dataset_name": "Workshop replies"},
        "read": False,
        "read_at": None,
        "created_at": "2026-11-24T12:00:00Z",
    }


async def test_a_read_notification_stays_read_since_the_first_time(pool, ask) -> None:
    user = new_id()
    await deliver(pool, job_queued(user_id=user), job_started(user_id=user))
    newest = (await listed(ask, user))["notifications"][0]
    first = await ask(user).patch(f"/notifications/{newest['id']}/read")
    again = await ask(user).patch(f"/notifications/{newest['id']}/read")
    assert first.status_code == 200
    assert first.json()["data"]["read"] is True
    assert again.json() == first.json()
    unread = await listed(ask, user, unread=True)
    assert [notification["type"] for notification in unread["notifications"]] == ["job_queued"]
    assert unread["unread_count"] == 1
    assert len((await listed(ask, user))["notifications"]) == 2


async def test_all_are_marked_read_for_their_user_only(pool, ask) -> None:
    user, other = new_id(), new_id()
    await deliver(pool, job_queued(user_id=user), job_started(user_id=user), job_queued(user_id=other))
    assert (await ask(user).post("/notifications/read-all")).json()["data"] == {"marked": 2}
    assert (await ask(user).post("/notifications/read-all")).json()["data"] == {"marked": 0}
    assert (await listed(ask, user))["unread_count"] == 0
    assert (await listed(ask, other))["unread_count"] == 1


async def test_another_users_notification_does_not_exist(pool, ask) -> None:
    queued = job_queued()
    await deliver(pool, queued)
    [notification] = (await listed(ask, queued.user_id))["notifications"]
    stranger = new_id()
    assert (await listed(ask, stranger)) == {"notifications": [], "unread_count": 0}
    foreign = await ask(stranger).patch(f"/notifications/{notification['id']}/read")
    unknown = await ask(stranger).patch(f"/notifications/{new_id()}/read")
    assert foreign.status_code == unknown.status_code == 404
    assert foreign.json() == unknown.json()
    assert (await listed(ask, queued.user_id))["unread_count"] == 1


async def test_the_list_has_the_requested_length(pool, ask) -> None:
    user = new_id()
    await deliver(pool, *(job_queued(user_id=user) for _ in range(25)))
    assert len((await listed(ask, user))["notifications"]) == 20
    assert len((await listed(ask, user, limit=3))["notifications"]) == 3
    assert len((await listed(ask, user, limit=100))["notifications"]) == 25


@pytest.mark.parametrize("limit", [0, 101])
async def test_a_length_out_of_bounds_is_refused(ask, limit: int) -> None:
    answer = await ask(new_id()).get("/notifications", params={"limit": limit})
    assert answer.status_code == 400
    assert list(answer.json()["details"]) == ["limit"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/notifications"), ("PATCH", f"/notifications/{UNKNOWN_ID}/read"), ("POST", "/notifications/read-all")],
)
async def test_notifications_need_a_token_of_a_user(ask, method: str, path: str) -> None:
    async with ask(None) as client:
        assert (await client.request(method, path)).status_code == 401
        client.headers.pop("authorization")
        assert (await client.request(method, path)).status_code == 401
