import json
import math
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from brightrun.runtime.database import Pool
from tests.builders import NOON, job_completed, pricing
from tests.services.api.conftest import User, outbox_topics, set_price, validated_dataset
from tests.services.api.test_projection import tell

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
    data = answer.json()["data"]
    ours = ("range", "past_error", "memory", "model_hours", "serving", "runnable", "not_runnable")
    beyond = {name: data.pop(name) for name in ours}
    # 750 steps · 720 tokens / 3600 + 1800 s = 1950 s = 0.541667 h × 7.00 = 3.791667, + 0.50
    assert answer.json()["success"] is True
    assert data == {
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
    }
    assert (beyond["range"], beyond["past_error"]) == (None, None)
    # 540,000 tokens of the tiny model
    assert beyond["model_hours"] == 0
    assert (beyond["serving"]["peft"], beyond["serving"]["vllm"]) == (True, True)
    assert await outbox_topics(pool) == []


async def finish_jobs(pool: Pool, user: User, count: int, seconds: int, **changes: Any) -> None:
    """Jobs of 1950 s and 4.29 USD by their estimates that took `seconds`."""
    dataset_id = await validated_dataset(pool, user, training_pairs=1000, tokens=180_000)
    for _ in range(count):
        body = request(dataset_id) | {"preset_id": "custom"} | changes
        job = (await user.post("/api/jobs", json=body)).json()["data"]
        ended = NOON + timedelta(seconds=seconds)
        await tell(pool, job_completed(job_id=job["id"], pricing=pricing("7.0000"), finished_at=ended))


async def test_finished_jobs_teach_what_to_expect(ada: User, eve: User, pool: Pool):
    await finish_jobs(pool, ada, 4, 975)
    body = request(await validated_dataset(pool, eve, training_pairs=1000, tokens=180_000))
    before = (await eve.post("/api/jobs/estimate", json=body)).json()["data"]
    await finish_jobs(pool, ada, 1, 975)
    after = (await eve.post("/api/jobs/estimate", json=body)).json()["data"]

    assert (before["range"], before["past_error"]) == (None, None)
    # half of 1950 s: 0.2708 h × 7.00 = 1.8958, + 0.50
    cost, hours = (dict.fromkeys(("low", "expected", "high"), value) for value in (2.4, 0.27))
    assert after["range"] == {"cost": cost, "hours": hours, "jobs": 5, "gpu_type": "A100-80GB"}
    # 4.29 was said, 2.3958 paid
    assert after["past_error"] == {"median_absolute_percentage": 79.1, "count": 5}
    assert after["estimated_cost"] == before["estimated_cost"] == 4.29


async def test_jobs_that_did_not_complete_teach_nothing(ada: User, pool: Pool):
    await finish_jobs(pool, ada, 5, 975)
    await pool.execute("UPDATE jobs SET status = 'failed' WHERE id = (SELECT id FROM jobs LIMIT 1)")
    body = request(await validated_dataset(pool, ada))

    assert (await ada.post("/api/jobs/estimate", json=body)).json()["data"]["range"] is None


async def test_the_memory_of_every_gpu_type_is_judged(ada: User, pool: Pool):
    shape = {
        "parameters": 8_030_261_248,
        "layers": 32,
        "hidden_size": 4096,
        "intermediate_size": 14_336,
        "vocabulary": 128_256,
        "attention_heads": 32,
        "kv_heads": 8,
        "head_size": 128,
    }
    await set_price(ada, "base-models/meta-llama/Llama-3.1-8B-Instruct", aliases=["llama"], shape=shape)
    body = request(await validated_dataset(pool, ada))
    body["hyperparameters"] |= {"base_model": "llama", "max_length": 2048, "batch_size": 16, "dropout": 0}
    memory = (await ada.post("/api/jobs/estimate", json=body)).json()["data"]["memory"]

    # (16.061 + 0.755 + 9.639 + 11.036) GB · 1.1 + 1 GiB
    assert memory["needed_gib"] == 39.41
    assert {gpu["type"]: (gpu["memory_gib"], gpu["verdict"]) for gpu in memory["gpus"]} == {
        "A100-80GB": (80, "fits"),
        "A100-40GB": (40, "fits"),
        "H100": (80, "fits"),
        "V100-32GB": (32, "does_not_fit"),
        "CPU": (None, "unknown"),
    }
    assert memory["advice"] is None
    advice = {gpu["type"]: gpu["advice"] for gpu in memory["gpus"] if gpu["advice"]}
    assert advice == {
        "V100-32GB": (
            "Batch 16 needs about 39 GiB, the GPU has 32: try 8, with gradient_accumulation 2 to train the same."
        )
    }


async def test_a_job_that_does_not_fit_is_warned_of_and_not_refused(ada: User, pool: Pool):
    await set_price(ada, "gpus/small", price_per_hour=1, tokens_per_second=100, memory_gib=0.5)
    body = request(await validated_dataset(pool, ada)) | {"gpu_config": {"type": "small", "count": 1}}
    memory = (await ada.post("/api/jobs/estimate", json=body)).json()["data"]["memory"]

    assert {gpu["type"]: gpu["verdict"] for gpu in memory["gpus"]}["small"] == "does_not_fit"
    assert memory["advice"].startswith("Batch 4 needs about 1.")
    assert (await ada.post("/api/jobs", json=body | {"preset_id": "fast"})).status_code == 201


async def test_the_memory_of_a_base_model_of_unknown_shape_is_unknown(ada: User, pool: Pool):
    body = request(await validated_dataset(pool, ada))
    body["hyperparameters"]["base_model"] = "somebody/unheard-of"
    memory = (await ada.post("/api/jobs/estimate", json=body)).json()["data"]["memory"]

    assert memory["needed_gib"] is None
    assert {gpu["verdict"] for gpu in memory["gpus"]} == {"unknown"}


async def test_the_shape_of_a_well_known_model_is_built_in(ada: User, pool: Pool):
    body = request(await validated_dataset(pool, ada, training_pairs=10_000, tokens=5_000_000))
    body["hyperparameters"]["base_model"] = "Qwen/Qwen2.5-7B-Instruct"
    data = (await ada.post("/api/jobs/estimate", json=body)).json()["data"]

    assert data["memory"]["needed_gib"] > 15
    # 15 million tokens on two A100 at some 2,500 a second each
    assert data["model_hours"] == pytest.approx(0.8, rel=0.1)


async def test_an_estimate_rejects_what_cannot_be_trained(ada: User, pool: Pool):
    body = request(await validated_dataset(pool, ada)) | {"gpu_config": {"type": "CPU", "count": 1}}
    body["hyperparameters"] |= {"quantization": "nf4", "target_modules": ["q_proj", "lm_head"]}
    for path, more in (("/api/jobs/estimate", {}), ("/api/jobs", {"preset_id": "custom"})):
        refused = await ada.post(path, json=body | more)
        assert (refused.status_code, refused.json()["code"]) == (400, "untrainable")
        assert refused.json()["details"].keys() == {"hyperparameters.quantization", "hyperparameters.target_modules"}

    assert (await ada.post("/api/jobs/estimate", json=request(body["dataset_id"]))).status_code == 200


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


async def test_an_unknown_gpu_is_rejected_with_the_known_types(ada: User, pool: Pool):
    body = request(await validated_dataset(pool, ada)) | {"gpu_config": {"type": "TPU", "count": 1}}
    answer = await ada.post("/api/jobs/estimate", json=body)

    assert answer.status_code == 400
    message = answer.json()["details"]["gpu_config.type"][0]
    assert all(name in message for name in ("A100-80GB", "A100-40GB", "H100", "V100-32GB", "CPU"))


async def test_an_unknown_gpu_is_named_with_all_other_wrong_fields(ada: User, pool: Pool):
    body = request(await validated_dataset(pool, ada)) | {"gpu_config": {"type": "TPU", "count": 9}}
    answer = await ada.post("/api/jobs/estimate", json=body)

    assert answer.json()["details"].keys() == {"gpu_config.type", "gpu_config.count"}


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b'{\n  "a": 1,\n  oops}', "line 3, column 3: Expecting property name enclosed in double quotes"),
        (b'{\n "name": "\xc3\xbc\xff"}', "line 2, column 12: Invalid utf-8"),
        (b"[" * 100_000, "line 1, column 1: Nested too deeply"),
    ],
)
async def test_malformed_json_is_answered_with_its_place(ada: User, body: bytes, problem: str):
    answer = await ada.post("/api/jobs/estimate", content=body, headers=JSON)

    assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")
    assert answer.json()["details"] == {"body": [f"no JSON at {problem}"]}


async def test_a_number_of_too_many_digits_is_answered_with_its_place(ada: User):
    answer = await ada.post("/api/jobs/estimate", content='{"gpu_config": {"count": %s}}' % ("1" * 5000), headers=JSON)

    assert "whole numbers must fit in 64 bits" in answer.json()["details"]["gpu_config.count"]


async def test_the_price_table_is_data(ada: User, pool: Pool):
    await set_price(ada, "gpus/B200", price_per_hour=10, tokens_per_second=3600)
    await set_price(ada, "gpus/H100", price_per_hour=4.2, tokens_per_second=2200, active=False)
    await set_price(ada, "storage", amount=1.25)
    body = request(await validated_dataset(pool, ada, training_pairs=1000, tokens=180_000))

    added = await ada.post("/api/jobs/estimate", json=body | {"gpu_config": {"type": "B200", "count": 1}})
    removed = await ada.post("/api/jobs/estimate", json=body | {"gpu_config": {"type": "H100", "count": 1}})

    # 750 · 720 / 3600 + 1800 = 1950 s = 0.541667 h × 10 = 5.416667, + 1.25
    assert added.json()["data"]["estimated_cost"] == 6.67
    assert added.json()["data"]["cost_breakdown"] == {"compute": 5.42, "storage": 1.25}
    assert removed.status_code == 400


async def test_an_invalid_body_is_rejected(ada: User):
    nul = json.dumps(request(NOWHERE) | {"gpu_config": {"type": "a\x00", "count": 1}}).encode()
    bodies = [b"", b"{", b"null", b"[]", b"\xff\xfe", b'"text"', b"[" * 100_000, nul, b'{"\\ud800": "\\ud800"}']
    for path in ("/api/jobs/estimate", "/api/jobs", "/api/auth/login"):
        for body in bodies:
            answer = await ada.post(path, content=body, headers={"content-type": "application/json"})
            assert (answer.status_code, answer.json().keys()) == (400, {"error", "code", "details"}), (path, body)


@pytest.mark.parametrize("field", ["batch_size", "epochs", "learning_rate", "rank"])
async def test_an_invalid_number_is_rejected(ada: User, pool: Pool, field: str):
    body = request(await validated_dataset(pool, ada))
    for number in (math.nan, math.inf, -math.inf, HUGE, -HUGE, "1e999", [], {}, None):
        body["hyperparameters"][field] = number
        answer = await ada.post("/api/jobs/estimate", content=json.dumps(body), headers=JSON)
        assert (answer.status_code, answer.json()["details"].keys()) == (400, {f"hyperparameters.{field}"}), number


async def test_an_invalid_estimated_cost_is_rejected(ada: User, pool: Pool):
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
