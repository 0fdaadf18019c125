"""The price table is data: admins change it, its history stays, and jobs keep what they were promised."""

import json
from typing import Any

import pytest

from brightrun.api.accounts.models import User as Account
from brightrun.api.pricing.actions import set_terms
from brightrun.api.pricing.models import FeeTerms, GpuTerms
from brightrun.contracts.events import JobQueued
from brightrun.runtime.database import Pool
from tests.builders import NOON
from tests.services.api.conftest import User, in_turn, outbox_topics, set_price, submission, validated_dataset

GPU = {"price_per_hour": 10, "tokens_per_second": 3600}
SHAPE = {
    "parameters": 494_032_768,
    "layers": 24,
    "hidden_size": 896,
    "intermediate_size": 4864,
    "vocabulary": 151_936,
    "attention_heads": 14,
    "kv_heads": 2,
    "head_size": 64,
}
PRICES = "/api/admin/prices"


def admin_of(user: User) -> Account:
    return Account(user.id, "ada@example.com", "Ada", "admin", NOON)


async def history(admin: User, **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await admin.get(f"{PRICES}/history", params=params)).json()["data"]["changes"]
    return found


async def promised(user: User, pool: Pool, **changes: Any) -> JobQueued:
    """What a job that is submitted now is promised."""
    answer = await user.post("/api/jobs", json=submission(await validated_dataset(pool, user), **changes))
    assert answer.status_code == 201, answer.text
    return JobQueued.model_validate_json(await pool.fetchval("SELECT value FROM outbox ORDER BY id DESC LIMIT 1"))


async def test_a_new_gpu_type_can_be_used_by_everybody(ada: User, eve: User, pool: Pool):
    answer = await ada.put(f"{PRICES}/gpus/B200", json=GPU | {"memory_gib": 192})
    gpus = (await eve.get("/api/gpus")).json()["data"]["gpus"]

    assert answer.status_code == 200
    assert answer.json()["data"]["changed_by"] == str(ada.id)
    terms = {"price_per_hour": 10, "tokens_per_second": 3600, "memory_gib": 192}
    assert {"type": "B200", "available": "later", **terms} in gpus
    assert gpus == sorted(gpus, key=lambda gpu: gpu["price_per_hour"])
    event = await promised(eve, pool, gpu_config={"type": "B200", "count": 2})
    assert str(event.pricing.hourly_rate) == "20.0000"


async def test_an_inactive_gpu_type_is_rejected_until_it_is_active_again(ada: User, pool: Pool):
    await set_price(ada, "gpus/H100", **GPU, active=False)
    body = submission(await validated_dataset(pool, ada), gpu_config={"type": "H100", "count": 1})
    refused = await ada.post("/api/jobs", json=body)

    assert refused.status_code == 400
    assert "H100" not in refused.json()["details"]["gpu_config.type"][0]
    table = (await ada.get(PRICES)).json()["data"]["prices"]
    assert [one["active"] for one in table if one["name"] == "H100"] == [False]
    await set_price(ada, "gpus/H100", **GPU)
    assert (await ada.post("/api/jobs", json=body)).status_code == 201


async def test_every_change_is_kept_with_who_made_it_and_when(ada: User, pool: Pool):
    for price in (1, 2, 3):
        await set_price(ada, "gpus/B200", price_per_hour=price, tokens_per_second=10)
    await set_price(ada, "storage", amount=1.25)

    changes = await history(ada, kind="gpu", name="B200")
    assert [change["terms"]["price_per_hour"] for change in changes] == [3, 2, 1]
    assert {change["changed_by"] for change in changes} == {str(ada.id)}
    assert [change["valid_from"] for change in changes] == sorted(
        (change["valid_from"] for change in changes), reverse=True
    )
    newest, *_, first = await history(ada, limit=100)
    assert (newest["kind"], newest["name"], newest["terms"]) == ("fee", "storage", {"amount": 1.25})
    assert first["changed_by"] is None


async def test_the_history_comes_in_pages(ada: User, pool: Pool):
    for price in range(5):
        await set_price(ada, "gpus/B200", price_per_hour=price, tokens_per_second=10)
    params = {"name": "B200", "page": 2, "limit": 2}
    page = (await ada.get(f"{PRICES}/history", params=params)).json()["data"]
    beyond = (await ada.get(f"{PRICES}/history", params=params | {"page": 9})).json()["data"]

    assert [change["terms"]["price_per_hour"] for change in page["changes"]] == [2, 1]
    assert page["pagination"] == {"page": 2, "limit": 2, "total": 5, "totalPages": 3}
    assert (beyond["changes"], beyond["pagination"]["total"]) == ([], 5)


async def test_a_change_that_changes_nothing_is_none(ada: User, pool: Pool):
    for _ in range(2):
        await set_price(ada, "gpus/B200", **GPU)
        await set_price(ada, "base-models/qwen", shape=SHAPE, price_factor=1.5)

    assert len(await history(ada, name="B200")) == 1
    assert len(await history(ada, name="qwen")) == 1


async def test_two_changes_at_the_same_moment_are_both_in_the_history(ada: User, pool: Pool):
    def price(amount: int) -> Any:
        return lambda conn: set_terms(conn, admin_of(ada), "fee", "storage", FeeTerms(amount=amount))

    await in_turn(pool, price(1), price(2))

    assert [change["terms"]["amount"] for change in await history(ada, name="storage")] == [2, 1, 0.5]


async def test_a_price_that_is_being_changed_holds_as_before_until_it_is(ada: User, pool: Pool):
    async with pool.acquire() as conn, conn.transaction():
        await set_terms(conn, admin_of(ada), "gpu", "CPU", GpuTerms(price_per_hour=99, tokens_per_second=1))
        event = await promised(ada, pool, gpu_config={"type": "CPU", "count": 1})

    assert str(event.pricing.hourly_rate) == "0.0500"


async def test_a_base_model_may_cost_a_price_of_its_own_or_a_factor_more(ada: User, pool: Pool):
    await set_price(ada, "base-models/own", price_per_hour=7.25)
    await set_price(ada, "base-models/factor", price_factor=1.5)
    await set_price(ada, "base-models/plain")

    gpu = {"gpu_config": {"type": "A100-80GB", "count": 2}}
    for name, hourly in (("own", "14.5000"), ("factor", "10.5000"), ("plain", "7.0000"), ("unlisted/model", "7.0000")):
        event = await promised(ada, pool, **gpu, hyperparameters={"base_model": name})
        assert (event.spec.base_model, str(event.pricing.hourly_rate)) == (name, hourly)


async def test_a_base_model_is_trained_under_its_own_name_and_revision(ada: User, eve: User, pool: Pool):
    await set_price(ada, "base-models/Qwen/Qwen2.5-0.5B-Instruct", aliases=["gpt-4.1-nano"], revision="v2", shape=SHAPE)

    event = await promised(eve, pool, hyperparameters={"base_model": "gpt-4.1-nano"})
    assert (event.spec.base_model, event.spec.base_model_revision) == ("Qwen/Qwen2.5-0.5B-Instruct", "v2")
    event = await promised(eve, pool, hyperparameters={"base_model": "gpt-4.1-nano", "base_model_revision": "v1"})
    assert event.spec.base_model_revision == "v1"
    known = {model["name"]: model for model in (await eve.get("/api/base-models")).json()["data"]["base_models"]}
    assert known.keys() == {"tiny", "Qwen/Qwen2.5-0.5B-Instruct"}
    assert known["Qwen/Qwen2.5-0.5B-Instruct"]["shape"] == SHAPE | {"context": 32_768, "model_type": "qwen2"}


async def test_an_inactive_base_model_is_rejected(ada: User, pool: Pool):
    await set_price(ada, "base-models/tiny", aliases=["gpt-4o-mini-2024-07-18"], active=False)
    body = submission(await validated_dataset(pool, ada))
    refused = await ada.post("/api/jobs", json=body)

    assert (refused.status_code, refused.json()["details"].keys()) == (400, {"hyperparameters.base_model"})
    assert (await ada.get("/api/base-models")).json()["data"]["base_models"] == []
    await set_price(ada, "base-models/other", aliases=["gpt-4o-mini-2024-07-18", "tiny"])
    assert (await promised(ada, pool)).spec.base_model == "other"


async def test_a_name_means_one_base_model(ada: User, pool: Pool):
    await set_price(ada, "base-models/qwen", aliases=["small"])
    for name, aliases in (("small", []), ("other", ["qwen"]), ("other", ["small", "fine", "tiny"])):
        answer = await ada.put(f"{PRICES}/base-models/{name}", json={"aliases": aliases})
        assert (answer.status_code, answer.json()["details"].keys()) == (400, {"aliases"}), (name, aliases)
    await set_price(ada, "base-models/qwen", aliases=["small", "smaller"])


@pytest.mark.parametrize(
    ("path", "body", "wrong"),
    [
        ("gpus/B200", {}, {"price_per_hour", "tokens_per_second"}),
        ("gpus/B200", {"price_per_hour": -1, "tokens_per_second": 0}, {"price_per_hour", "tokens_per_second"}),
        ("gpus/B200", GPU | {"price_per_hour": 1e9, "memory_gib": 0}, {"price_per_hour", "memory_gib"}),
        ("gpus/B200", GPU | {"price_per_hour": 0.00001, "type": "x"}, {"price_per_hour", "type"}),
        ("gpus/B200", GPU | {"price_per_hour": float("nan")}, {"price_per_hour"}),
        ("gpus/B200", GPU | {"memory_gib": float("inf")}, {"memory_gib"}),
        ("gpus/B%20200", GPU, {"gpu_type"}),
        ("gpus/" + "x" * 65, GPU, {"gpu_type"}),
        ("storage", {"amount": "much"}, {"amount"}),
        ("base-models/a", {"price_per_hour": 1, "price_factor": 2}, {"body"}),
        ("base-models/a", {"price_factor": 0, "aliases": [""]}, {"price_factor", "aliases.0"}),
        ("base-models/a", {"price_factor": 1001, "revision": ""}, {"price_factor", "revision"}),
        ("base-models/a", {"shape": SHAPE | {"layers": 0, "heads": 1}}, {"shape.layers", "shape.heads"}),
        ("base-models/a%09b", {}, {"name"}),
    ],
)  # fmt: skip
async def test_invalid_terms_are_rejected(ada: User, path: str, body: dict[str, Any], wrong: set[str]):
    before = len(await history(ada, limit=100))
    headers = {"content-type": "application/json"}
    answer = await ada.put(f"{PRICES}/{path}", content=json.dumps(body), headers=headers)

    assert (answer.status_code, answer.json()["details"].keys()) == (400, wrong)
    assert len(await history(ada, limit=100)) == before


@pytest.mark.parametrize("params", [{"kind": "cpu"}, {"page": 0}, {"limit": 101}, {"colour": "red"}, {"name": "\x00"}])
async def test_an_invalid_history_query_is_rejected(ada: User, params: dict[str, Any]):
    answer = await ada.get(f"{PRICES}/history", params=params)

    assert (answer.status_code, answer.json()["details"].keys()) == (400, params.keys())


async def test_only_admins_see_and_change_the_table(ada: User, eve: User, pool: Pool):
    answers = [
        await eve.get(PRICES),
        await eve.get(f"{PRICES}/history"),
        await eve.put(f"{PRICES}/gpus/B200", json=GPU),
        await eve.put(f"{PRICES}/base-models/x", json={}),
        await eve.put(f"{PRICES}/storage", json={"amount": 0}),
    ]

    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(403, "admin_only")}
    assert await outbox_topics(pool) == []
    assert await history(ada, name="B200") == []
