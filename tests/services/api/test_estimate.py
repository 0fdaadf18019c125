import json
import math
from typing import Any
from uuid import UUID

import pytest

from brightrun.runtime.database import Pool
from tests.services.api.conftest import User, outbox_topics, validated_dataset

NOWHERE = "01900000-0000-7000-8000-000000000000"
HUGE = int("9" * 400)
JSON = {"content-type": "application/json"}


def request(dataset_id: UUID | str) -> dict[str, Any]:
    return {
        "dataset_id": str(dataset_id),
        "gpu_config": {"type": "A100-80GB", "count": 2},
        "hyperparameters": {"batch_size": 4, "epochs": 3, "learning_rate": 0.0001, "rank": 16},
    }


async def test_the_answer_has_the_originals_shape(ada: User, pool: Pool):
    dataset_id = await validated_dataset(pool, ada, training_pairs=1000, tokens=180_000)
    answer = await ada.post("/api/jobs/estimate", json=request(dataset_id))

    assert answer.status_code == 200
    # 750 steps · 720 tokens / 3600 + 1800 s = 1950 s = 0.541667 h × 7.00 = 3.791667, + 0.50
    assert answer.json() == {
        "success": True,
        "data": {
            "estimated_cost": 4.29,
            "cost_breakdown": {"compute": 3.79, "storage": 0.5},
            "estimated_duration_hours": 0.54,
            "hourly_rate": 7.0,
            "training_details": {
                "total_steps": 750,
                "steps_per_epoch": 250,
                "estimated_throughput_tokens_per_sec": 3600,
                "dataset_name": "Workshop replies",
            },
        },
    }
    assert await outbox_topics(pool) == []


async def test_every_bad_field_is_named_at_once(ada: User):
    answer = await ada.post(
        "/api/jobs/estimate",
        json={
            "dataset_id": "nonsense",
            "gpu_config": {"type": "", "count": 9, "colour": "red"},
            "hyperparameters": {"batch_size": 65, "epochs": 0, "learning_rate": 1, "dropout": 2, "unknown": True},
            "extra": 1,
        },
    )

    assert answer.status_code == 400
    assert answer.json()["error"] == "Validation error"
    assert answer.json()["details"].keys() == {
        "dataset_id",
        "gpu_config.type",
        "gpu_config.count",
        "gpu_config.colour",
        "hyperparameters.batch_size",
        "hyperparameters.epochs",
        "hyperparameters.learning_rate",
        "hyperparameters.rank",
        "hyperparameters.dropout",
        "hyperparameters.unknown",
        "extra",
    }


async def test_an_unknown_gpu_is_refused_and_the_known_ones_are_named(ada: User, pool: Pool):
    body = request(await validated_dataset(pool, ada)) | {"gpu_config": {"type": "TPU", "count": 1}}
    answer = await ada.post("/api/jobs/estimate", json=body)

    assert answer.status_code == 400
    told = answer.json()["details"]["gpu_config.type"][0]
    assert all(name in told for name in ("A100-80GB", "A100-40GB", "H100", "V100-32GB", "CPU"))


async def test_the_price_table_is_data(ada: User, pool: Pool):
    await pool.execute("INSERT INTO gpu_prices VALUES ('B200', 10, 3600, true)")
    await pool.execute("UPDATE gpu_prices SET active = false WHERE type = 'H100'")
    await pool.execute("UPDATE fees SET amount = 1.25 WHERE name = 'storage'")
    body = request(await validated_dataset(pool, ada, training_pairs=1000, tokens=180_000))

    added = await ada.post("/api/jobs/estimate", json=body | {"gpu_config": {"type": "B200", "count": 1}})
    removed = await ada.post("/api/jobs/estimate", json=body | {"gpu_config": {"type": "H100", "count": 1}})

    # 750 · 720 / 3600 + 1800 = 1950 s = 0.541667 h × 10 = 5.416667, + 1.25
    assert added.json()["data"]["estimated_cost"] == 6.67
    assert added.json()["data"]["cost_breakdown"] == {"compute": 5.42, "storage": 1.25}
    assert removed.status_code == 400


async def test_a_body_that_is_none_is_refused(ada: User):
    nul = json.dumps(request(NOWHERE) | {"gpu_config": {"type": "a\x00", "count": 1}}).encode()
    bodies = [b"", b"{", b"null", b"[]", b"\xff\xfe", b'"text"', b"[" * 100_000, nul, b'{"\\ud800": "\\ud800"}']
    for path in ("/api/jobs/estimate", "/api/jobs", "/api/auth/login"):
        for body in bodies:
            answer = await ada.post(path, content=body, headers={"content-type": "application/json"})
            assert (answer.status_code, answer.json().keys()) == (400, {"error", "code", "details"}), (path, body)


@pytest.mark.parametrize("field", ["batch_size", "epochs", "learning_rate", "rank"])
async def test_a_number_that_is_none_is_refused(ada: User, pool: Pool, field: str):
    body = request(await validated_dataset(pool, ada))
    for number in (math.nan, math.inf, -math.inf, HUGE, -HUGE, "1e999", [], {}, None):
        body["hyperparameters"][field] = number
        answer = await ada.post("/api/jobs/estimate", content=json.dumps(body), headers=JSON)
        assert (answer.status_code, answer.json()["details"].keys()) == (400, {f"hyperparameters.{field}"}), number


async def test_an_estimated_cost_that_is_none_is_refused(ada: User, pool: Pool):
    body = request(await validated_dataset(pool, ada)) | {"preset_id": "fast"}
    for cost in (math.nan, math.inf, -1, "much", [], True):
        answer = await ada.post("/api/jobs", content=json.dumps(body | {"estimated_cost": cost}), headers=JSON)
        assert (answer.status_code, answer.json()["details"].keys()) == (400, {"estimated_cost"}), cost


async def test_a_huge_estimated_cost_has_changed(ada: User, pool: Pool):
    body = request(await validated_dataset(pool, ada)) | {"preset_id": "fast", "estimated_cost": HUGE}

    assert (await ada.post("/api/jobs", json=body)).status_code in {400, 409}


async def test_another_content_type_is_refused(ada: User):
    body = json.dumps(request(NOWHERE))
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        answer = await ada.post("/api/jobs/estimate", content=body, headers={"content-type": content_type})
        assert answer.status_code == 400, content_type


async def test_a_body_above_one_mebibyte_is_refused(ada: User):
    body = request(NOWHERE) | {"extra": "x" * 1_048_576}
    answer = await ada.post("/api/jobs/estimate", json=body)

    assert answer.status_code == 413
    assert answer.json().keys() == {"error", "code", "details"}
