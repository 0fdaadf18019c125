"""Webhook endpoints: made, shown, changed, rotated, deleted, and each only by its owner."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from brightrun.contracts.values import new_id
from brightrun.runtime.database import Pool
from tests.builders import NOON, job_queued
from tests.services.notifier.conftest import Ask, Webhooks, deliver
from tests.services.notifier.receiver import Receiver

Of = Callable[[UUID], Webhooks]


@pytest.fixture
def webhooks(webhooks_of: Of) -> Webhooks:
    return webhooks_of(new_id())


async def test_a_new_webhook_wants_everything_and_shows_its_secret_only_once(webhooks: Webhooks, receiver: Receiver):
    made = await webhooks.create(receiver.url)
    shown = {key: value for key, value in made.items() if key != "secret"}

    assert made["secret"].startswith("whsec_")
    assert made["secret"].endswith(made["secret_hint"])
    assert (made["url"], made["description"], made["event_types"]) == (f"{receiver.url}/", "", ["*"])
    assert (made["enabled"], made["disabled_reason"], made["failing_since"]) == (True, None, None)
    assert await webhooks.get(made) == shown
    assert (await webhooks.client.get("/webhooks")).json()["data"] == {"webhooks": [shown]}


async def test_the_newest_webhook_is_listed_first(webhooks: Webhooks, receiver: Receiver):
    first, second = await webhooks.create(receiver.url), await webhooks.create(receiver.url)
    listed = (await webhooks.client.get("/webhooks")).json()["data"]["webhooks"]
    assert [webhook["id"] for webhook in listed] == [second["id"], first["id"]]


async def test_no_secret_is_in_the_database(webhooks: Webhooks, receiver: Receiver, pool: Pool):
    made = await webhooks.create(receiver.url)
    rotated = (await webhooks.client.post(f"/webhooks/{made['id']}/rotate", json={})).json()["data"]
    dump = str(await pool.fetch("SELECT endpoint::text, encode(secret, 'escape') FROM webhook_endpoints endpoint"))
    for secret in (made["secret"], rotated["secret"]):
        assert secret not in dump
        assert secret.removeprefix("whsec_") not in dump


async def test_what_is_changed_is_only_what_was_sent(webhooks: Webhooks, receiver: Receiver):
    made = await webhooks.create(receiver.url, description="Ours", event_types=["fine_tuning.job.trained"])
    renamed = await webhooks.change(made, description="Theirs")
    assert (renamed["description"], renamed["event_types"], renamed["url"]) == (
        "Theirs",
        ["fine_tuning.job.trained"],
        made["url"],
    )
    moved = await webhooks.change(made, url=f"{receiver.url}/other", event_types=["fine_tuning.job.*"])
    assert (moved["url"], moved["event_types"]) == (f"{receiver.url}/other", ["fine_tuning.job.*"])
    assert moved["updated_at"] > renamed["updated_at"] > made["updated_at"]
    assert await webhooks.change(made) == moved
    assert await webhooks.change(made, description="Theirs") == moved
    assert await webhooks.get(made) == moved


async def test_a_webhook_is_turned_off_and_on(webhooks: Webhooks, receiver: Receiver):
    made = await webhooks.create(receiver.url)
    off = await webhooks.change(made, enabled=False)
    assert (off["enabled"], off["disabled_reason"]) == (False, "user")
    on = await webhooks.change(made, enabled=True)
    assert (on["enabled"], on["disabled_reason"]) == (True, None)


async def test_a_deleted_webhook_loses_its_pending_deliveries(webhooks: Webhooks, receiver: Receiver, pool: Pool):
    made = await webhooks.create(receiver.url)
    await deliver(pool, job_queued(user_id=webhooks.user))
    assert (await webhooks.client.delete(f"/webhooks/{made['id']}")).status_code == 200
    assert (await webhooks.client.delete(f"/webhooks/{made['id']}")).status_code == 404
    assert await webhooks.send() == 0
    assert receiver.received == []


async def test_a_user_has_at_most_20_webhooks_even_if_created_concurrently(webhooks: Webhooks, receiver: Receiver):
    answers = await asyncio.gather(*(webhooks.client.post("/webhooks", json={"url": receiver.url}) for _ in range(25)))
    refused = [answer.json() for answer in answers if answer.status_code == 409]
    assert [answer["code"] for answer in refused] == ["too_many_webhooks"] * 5
    assert len((await webhooks.client.get("/webhooks")).json()["data"]["webhooks"]) == 20


async def test_another_users_webhook_does_not_exist(webhooks: Webhooks, receiver: Receiver, pool: Pool, ask: Ask):
    made = await webhooks.create(receiver.url)
    await deliver(pool, job_queued(user_id=webhooks.user))
    [delivery] = await webhooks.deliveries(made)
    stranger = ask(new_id())
    requests: list[tuple[str, str, Any]] = [
        ("GET", "", None),
        ("PATCH", "", {"description": "Mine"}),
        ("PATCH", "", {"url": "https://10.0.0.1/"}),
        ("DELETE", "", None),
        ("POST", "/rotate", {}),
        ("POST", "/test", {}),
        ("GET", "/deliveries", None),
        ("POST", f"/deliveries/{delivery['id']}/replay", None),
    ]
    for method, path, body in requests:
        for webhook_id in (made["id"], new_id()):
            answer = await stranger.request(method, f"/webhooks/{webhook_id}{path}", json=body)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), (method, path)
    assert (await stranger.get("/webhooks")).json()["data"] == {"webhooks": []}
    assert await webhooks.get(made) == {key: value for key, value in made.items() if key != "secret"}
    assert receiver.received == []


async def test_a_delivery_is_replayed_only_at_its_own_webhook(webhooks: Webhooks, receiver: Receiver, pool: Pool):
    webhook, other = await webhooks.create(receiver.url), await webhooks.create(receiver.url, event_types=["none"])
    await deliver(pool, job_queued(user_id=webhooks.user))
    [delivery] = await webhooks.deliveries(webhook)
    answer = await webhooks.client.post(f"/webhooks/{other['id']}/deliveries/{delivery['id']}/replay")
    assert answer.status_code == 404


BAD_FIELDS = [
    ({}, {"url"}),
    ({"url": None}, {"url"}),
    ({"url": 7}, {"url"}),
    ({"url": "ftp://receiver.example.com/"}, {"url"}),
    ({"url": "receiver"}, {"url"}),
    ({"url": "https://127.0.0.1/" + "a" * 2048}, {"url"}),
    ({"url": "https://127.0.0.1/" + "ü" * 400}, {"url"}),
    ({"url": "https://ada:secret@127.0.0.1/"}, {"url"}),
    ({"url": "https://ada@127.0.0.1/"}, {"url"}),
    ({"url": "https://127.0.0.1/", "description": "x" * 201, "event_types": [], "extra": 1},
     {"description", "event_types", "extra"}),
    ({"url": "https://127.0.0.1/", "description": "a\u0000b"}, {"description"}),
    ({"url": "https://127.0.0.1/", "event_types": ["*.ready", "a..b", "A", "model.*.x", "model*", ""]},
     {f"event_types.{index}" for index in range(6)}),
    ({"url": "https://127.0.0.1/", "event_types": ["fine_tuning.job.trained"] * 51}, {"event_types"}),
    ({"url": "https://127.0.0.1/", "event_types": "*"}, {"event_types"}),
    ({"url": "https://127.0.0.1/", "secret": "whsec_mine"}, {"secret"}),
    ({"url": "https://127.0.0.1/", "user_id": str(new_id())}, {"user_id"}),
]  # fmt: skip


@pytest.mark.parametrize(("body", "wrong"), BAD_FIELDS)
async def test_every_wrong_field_is_named_at_once(webhooks: Webhooks, body: dict[str, Any], wrong: set[str]):
    answer = await webhooks.client.post("/webhooks", json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")
    assert set(answer.json()["details"]) == wrong
    assert (await webhooks.client.get("/webhooks")).json()["data"] == {"webhooks": []}


REFUSED = [
    ("http://93.184.215.14/", "the URL must begin with https://"),
    ("https://93.184.215.14:25/", "the port must be 443, or 1024 and above"),
    ("https://93.184.215.14:0/", "the port must be 443, or 1024 and above"),
    ("https://10.0.0.1/", "the host's address is not a public one"),
    ("https://localhost/", "the host's address is not a public one"),
    ("https://[::1]/", "the host's address is not a public one"),
    ("https://[::ffff:127.0.0.1]/", "the host's address is not a public one"),
    ("https://169.254.169.254/latest/meta-data", "the host's address is not a public one"),
    ("https://does-not-exist.invalid/", "the host has no address"),
    (f"https://{'a' * 70}.example/", "the host has no address"),
    ("https://2130706433/", "write the address plainly, as 127.0.0.1"),
    ("https://0177.0.0.1/", "write the address plainly, as 127.0.0.1"),
    ("https://0x7f.1/", "write the address plainly, as 127.0.0.1"),
    ("https://127。0。0。1/", "write the address plainly, as 127.0.0.1"),
]


@pytest.mark.parametrize(("url", "reason"), REFUSED)
async def test_a_receiver_that_may_not_be_reached_is_refused_when_it_is_named(
    webhooks: Webhooks, receiver: Receiver, url: str, reason: str
):
    answer = await webhooks.client.post("/webhooks", json={"url": url})
    assert (answer.status_code, answer.json()["details"]) == (400, {"url": [reason]})
    made = await webhooks.create(receiver.url)
    changed = await webhooks.client.patch(f"/webhooks/{made['id']}", json={"url": url, "description": "New"})
    assert (changed.status_code, changed.json()["details"]) == (400, {"url": [reason]})
    assert (await webhooks.get(made))["description"] == "", "nothing is half stored"


async def test_a_public_address_is_taken(webhooks: Webhooks):
    made = await webhooks.create("https://93.184.215.14:8443/hooks?team=ours#part")
    assert made["url"] == "https://93.184.215.14:8443/hooks?team=ours#part"


@pytest.mark.parametrize("query", [{"page": 0}, {"limit": 0}, {"limit": 101}, {"page": 10**9}])
async def test_a_page_out_of_bounds_is_refused(webhooks: Webhooks, receiver: Receiver, query: dict[str, int]):
    made = await webhooks.create(receiver.url)
    answer = await webhooks.client.get(f"/webhooks/{made['id']}/deliveries", params=query)
    assert (answer.status_code, set(answer.json()["details"])) == (400, set(query))


async def test_the_log_is_paged_newest_first(webhooks: Webhooks, receiver: Receiver, pool: Pool):
    made = await webhooks.create(receiver.url)
    await deliver(pool, *(job_queued(user_id=webhooks.user, occurred_at=NOON) for _ in range(5)))
    whole = await webhooks.deliveries(made)
    pages = [
        (await webhooks.client.get(f"/webhooks/{made['id']}/deliveries", params={"page": page, "limit": 2})).json()
        for page in (1, 2, 3, 4)
    ]
    assert [delivery for page in pages for delivery in page["data"]["deliveries"]] == whole
    assert [delivery["id"] for delivery in whole] == sorted((delivery["id"] for delivery in whole), reverse=True)
    assert pages[0]["data"]["pagination"] == {"page": 1, "limit": 2, "total": 5, "totalPages": 3}


async def test_webhooks_need_a_token_of_a_user(ask: Ask):
    for method, path in [("GET", "/webhooks"), ("POST", "/webhooks"), ("DELETE", f"/webhooks/{new_id()}")]:
        assert (await ask(None).request(method, path, json={"url": "https://93.184.215.14"})).status_code == 401
