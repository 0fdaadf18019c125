"""Webhooks through the gateway: requests to the notifier on behalf of the user, in both dialects."""

import json
from typing import Any

import openai
import pytest
from fastapi import FastAPI
from openai.types.webhooks import WebhookEndpoint, WebhookEndpointTestResult, WebhookEndpointWithSecret

from brightrun.contracts.values import new_id
from brightrun.contracts.webhooks import EVENT_TYPES
from tests.builders import UNKNOWN_ID
from tests.services.api.conftest import User
from tests.services.api.fakes import FakeNotifier
from tests.services.slices import serve

URL = "https://hooks.example.com/brightrun"


async def created(user: User, **changes: Any) -> dict[str, Any]:
    answer = await user.post("/api/webhooks", json={"url": URL} | changes)
    assert answer.status_code == 201, answer.text
    return answer.json()["data"]


async def test_a_webhook_is_made_changed_and_deleted(ada: User, notifier: FakeNotifier):
    made = await created(ada)
    assert notifier.bodies == [{"url": URL, "description": "", "event_types": ["*"]}]
    assert made["secret"] == "whsec_first_abcd"
    path = f"/api/webhooks/{made['id']}"
    shown = {key: value for key, value in made.items() if key != "secret"}
    assert (await ada.get(path)).json() == {"success": True, "data": shown}
    assert (await ada.get("/api/webhooks")).json()["data"] == {"webhooks": [shown]}

    changed = (await ada.patch(path, json={"description": "Ours", "url": None})).json()["data"]
    assert changed == shown | {"description": "Ours"}
    assert notifier.bodies[-1] == {"description": "Ours"}
    assert (await ada.delete(path)).json() == {"success": True, "data": None}
    assert (await ada.get(path)).status_code == 404


async def test_a_secret_is_rotated_and_kept_for_a_day_unless_it_leaked(ada: User, notifier: FakeNotifier):
    path = f"/api/webhooks/{(await created(ada))['id']}/rotate"
    assert (await ada.post(path)).json()["data"]["secret"] == "whsec_second_abcd"
    assert (await ada.post(path, json={"keep_previous": False})).status_code == 200
    assert notifier.bodies[1:] == [{"keep_previous": True}, {"keep_previous": False}]


async def test_a_webhook_is_tried(ada: User, notifier: FakeNotifier):
    path = f"/api/webhooks/{(await created(ada))['id']}/test"
    result = {"event_type": "fine_tuning.job.succeeded", "status_code": 200, "duration_ms": 12, "error": None}
    assert (await ada.post(path)).json()["data"] == result
    notifier.answers_tests = None
    failed = (await ada.post(path, json={"event_type": "fine_tuning.job.trained"})).json()["data"]
    assert failed == {
        "event_type": "fine_tuning.job.trained",
        "status_code": None,
        "duration_ms": 12,
        "error": "no connection",
    }


async def test_what_was_sent_is_listed_and_replayed(ada: User, notifier: FakeNotifier):
    path = f"/api/webhooks/{(await created(ada))['id']}/deliveries"
    page = (await ada.get(path, params={"page": 3, "limit": 7})).json()["data"]
    assert page["deliveries"] == [notifier.delivery()]
    assert page["pagination"]["total"] == 1
    replayed = (await ada.post(f"{path}/{new_id()}/replay")).json()["data"]
    assert (replayed["event_id"], replayed["status"]) == ("evt_7", "pending")
    assert notifier.requests[-2][1] == {"page": "3", "limit": "7"}


async def test_the_event_types_are_listed(ada: User):
    assert (await ada.get("/api/webhooks/event-types")).json()["data"] == {"event_types": list(EVENT_TYPES)}


BAD = [
    ({}, {"url"}),
    ({"url": "x", "description": "x" * 201, "event_types": [], "a": 1}, {"url", "description", "event_types", "a"}),
    ({"url": "https://ada:secret@example.com/"}, {"url"}),
    ({"url": "https://0x7f.1/"}, {"url"}),
    ({"url": URL, "event_types": ["ready!"]}, {"event_types.0"}),
    ({"url": URL, "description": "\ud800"}, {"description"}),
]  # fmt: skip


@pytest.mark.parametrize(("body", "wrong"), BAD)
async def test_every_wrong_field_is_named_before_the_notifier_is_called(
    ada: User, notifier: FakeNotifier, body: dict[str, Any], wrong: set[str]
):
    headers = {"content-type": "application/json"}
    answer = await ada.post("/api/webhooks", content=json.dumps(body), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")
    assert set(answer.json()["details"]) == wrong
    assert notifier.bodies == []


async def test_a_webhook_of_somebody_else_does_not_exist(ada: User, eve: User, notifier: FakeNotifier):
    path = f"/api/webhooks/{(await created(ada))['id']}"
    requests = [
        ("GET", path), ("PATCH", path), ("DELETE", path), ("POST", f"{path}/rotate"), ("POST", f"{path}/test"),
        ("GET", f"{path}/deliveries"), ("POST", f"{path}/deliveries/{new_id()}/replay"),
    ]  # fmt: skip
    for method, url in requests:
        answer = await eve.request(method, url, json={} if method == "PATCH" else None)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), (method, url)
    assert (await eve.get("/api/webhooks")).json()["data"] == {"webhooks": []}
    assert len(notifier.webhooks) == 1


@pytest.mark.parametrize(("scope", "may"), [("read", False), ("train", False), ("admin", True)])
async def test_only_a_holder_changes_webhooks_and_every_token_sees_them(
    ada: User, notifier: FakeNotifier, scope: str, may: bool
):
    webhook = await created(ada)
    key = (await ada.post("/api/keys", json={"name": "k", "scopes": [scope]})).json()["data"]["key"]
    headers = {"authorization": f"Bearer {key}"}
    path = f"/api/webhooks/{webhook['id']}"
    for url in ("/api/webhooks", path, f"{path}/deliveries"):
        assert (await ada.get(url, headers=headers)).status_code == 200, url
    changes: list[tuple[str, str, Any]] = [
        ("POST", f"{path}/rotate", None), ("POST", f"{path}/test", None), ("PATCH", path, {"description": "x"}),
        ("POST", f"{path}/deliveries/{new_id()}/replay", None), ("POST", "/api/webhooks", {"url": URL}),
        ("DELETE", path, None),
    ]  # fmt: skip
    for method, url, body in changes:
        answer = await ada.request(method, url, json=body, headers=headers)
        assert (answer.status_code < 300) is may, (method, url, answer.text)
        assert may or answer.json()["code"] == "wrong_scope"


async def test_openais_client_manages_webhook_endpoints(ada: User, app: FastAPI, notifier: FakeNotifier):
    async with serve(app) as url, openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=ada.account["token"]) as client:
        made = await client.webhooks.create(name="ours", url=URL, event_types=["fine_tuning.job.succeeded"])
        assert isinstance(made, WebhookEndpointWithSecret)
        assert (made.object, made.name, made.signing_secret) == ("webhook_endpoint", "ours", "whsec_first_abcd")
        assert (made.url, made.signing_secret_hint) == (URL, "whsec_…abcd")
        assert notifier.bodies[-1] == {
            "url": URL,
            "description": "ours",
            "event_types": ["fine_tuning.job.succeeded"],
        }

        changed = await client.webhooks.update(made.id, name="theirs")
        assert notifier.bodies[-1] == {"description": "theirs"}
        assert await client.webhooks.retrieve(made.id) == changed
        assert (type(changed), changed.name, changed.created_at) == (WebhookEndpoint, "theirs", made.created_at)

        rotated = await client.webhooks.rotate_secret(made.id)
        assert rotated.signing_secret == "whsec_second_abcd"
        await client.webhooks.rotate_secret(made.id, keep_old_secret_active_for_24_hours=True)
        assert notifier.bodies[-2:] == [{"keep_previous": False}, {"keep_previous": True}]

        tested = await client.webhooks.test(made.id, event_type="fine_tuning.job.failed")
        assert isinstance(tested, WebhookEndpointTestResult)
        assert (tested.status_code, tested.success, tested.webhook_endpoint_id) == (200, True, made.id)
        assert (await client.webhooks.event_types.list()).data == list(EVENT_TYPES)

        deleted = await client.webhooks.delete(made.id)
        assert (deleted.id, deleted.deleted, deleted.object) == (made.id, True, "webhook_endpoint.deleted")
        with pytest.raises(openai.NotFoundError):
            await client.webhooks.retrieve(made.id)


async def test_openais_client_pages_through_webhook_endpoints(ada: User, eve: User, app: FastAPI):
    for number in range(5):
        await created(ada, description=str(number))
    async with serve(app) as url, openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=ada.account["token"]) as client:
        page = await client.webhooks.list(limit=2)
        assert page.has_more
        assert [endpoint.name async for endpoint in page] == ["4", "3", "2", "1", "0"]
        with pytest.raises(openai.NotFoundError):
            await client.webhooks.list(after="we_unknown")
        hers = client.with_options(api_key=eve.account["token"])
        assert (await hers.webhooks.list()).data == []


@pytest.mark.parametrize("webhook_id", ["we_", "we_x", "ftjob-" + "0" * 32, "we_" + "0" * 32, UNKNOWN_ID])
async def test_another_users_endpoint_is_not_found(ada: User, webhook_id: str):
    answer = await ada.get(f"/v1/webhook_endpoints/{webhook_id}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


async def test_a_receiver_without_an_answer_is_an_error_of_openais_shape(ada: User, notifier: FakeNotifier):
    webhook_id = (await created(ada))["id"].replace("-", "")
    notifier.answers_tests = None
    answer = await ada.post(
        f"/v1/webhook_endpoints/we_{webhook_id}/test", json={"event_type": "fine_tuning.job.trained"}
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "webhook_unreachable"
    assert "no connection" in answer.json()["error"]["message"]


@pytest.mark.parametrize("body", [{}, {"name": "", "url": URL, "event_types": ["*"]}, {"name": "x", "url": URL}])
async def test_a_bad_endpoint_is_refused_in_openais_shape(ada: User, notifier: FakeNotifier, body: dict[str, Any]):
    answer = await ada.post("/v1/webhook_endpoints", json=body)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
    assert notifier.bodies == []
