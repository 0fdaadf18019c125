import asyncio
from typing import Any
from uuid import UUID

import httpx
import pytest

from brightrun.api.jobs import queries as jobs
from brightrun.api.jobs.actions import cancel_job
from brightrun.contracts.events import JobCancelRequested, JobQueued
from brightrun.contracts.training import TrainingSpecView
from brightrun.contracts.values import new_id
from brightrun.runtime.database import Pool
from tests.services.api.conftest import (
    User,
    in_turn,
    outbox_topics,
    set_price,
    statements,
    submission,
    validated_dataset,
)
from tests.services.api.fakes import FakeArtifacts


async def queued_job(pool: Pool, user: User, **changes: Any) -> dict[str, Any]:
    answer = await user.post("/api/jobs", json=submission(await validated_dataset(pool, user), **changes))
    assert answer.status_code == 201, answer.text
    job: dict[str, Any] = answer.json()["data"]
    return job


async def test_a_submitted_job_is_queued_with_its_event(ada: User, pool: Pool):
    dataset_id = await validated_dataset(pool, ada, training_pairs=1000, tokens=180_000)
    answer = await ada.post("/api/jobs", json=submission(dataset_id, name="First try", hyperparameters={"seed": 7}))

    assert answer.status_code == 201
    job = answer.json()["data"]
    assert (job["status"], job["name"], job["preset_id"]) == ("queued", "First try", "fast")
    assert job["submitted"] == {"seed": 7}
    assert job["hyperparameters"]["seed"] == 7
    assert job["hyperparameters"]["batch_size"] == 8
    assert job["dataset"] == {"name": "Workshop replies", "format": "openai_chat", "total_training_pairs": 1000}
    # 125 steps · 1440 tokens / 1800 + 1200 s = 1300 s = 0.3611 h × 3.50 = 1.2639, + 0.50
    assert (job["estimated_total_cost"], job["current_cost"], job["final_cost"]) == (1.76, 0, None)
    assert (job["total_steps"], job["total_epochs"], job["progress"]) == (125, 1, 0)

    row = await pool.fetchrow("SELECT topic, key, value FROM outbox")
    event = JobQueued.model_validate_json(row["value"])
    assert (row["topic"], row["key"]) == ("job.queued", job["id"])
    assert (str(event.job_id), event.user_id, event.name) == (job["id"], ada.id, "First try")
    assert TrainingSpecView.of(event.spec).model_dump(mode="json") == job["hyperparameters"]
    assert (str(event.pricing.hourly_rate), str(event.pricing.storage)) == ("3.5000", "0.5000")
    assert (event.dataset.dataset_id, event.dataset.tokens) == (dataset_id, 180_000)


async def test_a_job_keeps_the_price_of_its_submission(ada: User, pool: Pool):
    await set_price(ada, "gpus/CPU", price_per_hour=0.0125, tokens_per_second=2000)
    job = await queued_job(pool, ada, gpu_config={"type": "CPU", "count": 3})
    await set_price(ada, "gpus/CPU", price_per_hour=99, tokens_per_second=2000)

    event = JobQueued.model_validate_json(await pool.fetchval("SELECT value FROM outbox"))
    assert str(event.pricing.hourly_rate) == "0.0375"
    kept = await jobs.find_job(pool, ada.id, UUID(job["id"]))
    assert kept is not None
    assert kept.pricing == event.pricing


async def test_a_job_is_named_after_its_data_set(ada: User, pool: Pool):
    assert (await queued_job(pool, ada))["name"] == "Workshop replies"


async def test_an_unknown_data_set_is_fetched(ada: User, artifacts: FakeArtifacts, pool: Pool):
    answer = await ada.post("/api/jobs", json=submission(artifacts.hold_dataset(ada.id)))

    assert answer.status_code == 201
    assert answer.json()["data"]["dataset"]["total_training_pairs"] == 240


@pytest.mark.parametrize("status", ["uploaded", "validating", "invalid"])
async def test_a_data_set_that_is_not_ready_is_rejected_with_its_status(
    ada: User, artifacts: FakeArtifacts, pool: Pool, status: str
):
    dataset_id = artifacts.hold_dataset(ada.id, status=status, total_training_pairs=None, total_tokens=None)
    answer = await ada.post("/api/jobs", json=submission(dataset_id))

    assert answer.status_code == 400
    assert answer.json() == {
        "error": "Dataset not ready for training",
        "code": "dataset_not_ready",
        "details": "Dataset must have status='ready' and training_ready=true. "
        f"Current: status='{status}', training_ready=false",
    }
    assert await outbox_topics(pool) == []


@pytest.mark.parametrize("path", ["/api/jobs", "/api/jobs/estimate"])
async def test_a_data_set_of_somebody_else_does_not_exist(
    ada: User, eve: User, artifacts: FakeArtifacts, pool: Pool, path: str
):
    hyperparameters = {"batch_size": 4, "epochs": 1, "learning_rate": 1e-4, "rank": 8}
    for dataset_id in (artifacts.hold_dataset(ada.id), await validated_dataset(pool, ada), new_id()):
        body = submission(dataset_id, hyperparameters=hyperparameters)
        if path.endswith("estimate"):
            del body["preset_id"]
        answer = await eve.post(path, json=body)
        assert (answer.status_code, answer.json()["error"]) == (404, "Dataset not found or access denied")


async def test_custom_takes_steps_instead_of_epochs(ada: User, pool: Pool):
    given = {"learning_rate": 1e-4, "batch_size": 4, "rank": 8, "max_steps": 50}
    job = await queued_job(pool, ada, preset_id="custom", hyperparameters=given)

    assert job["submitted"] == given
    assert (job["total_steps"], job["hyperparameters"]["epochs"], job["hyperparameters"]["alpha"]) == (50, None, 16)


async def test_missing_fields_of_custom_are_named_with_an_unknown_gpu(ada: User, pool: Pool):
    body = submission(await validated_dataset(pool, ada), preset_id="custom", gpu_config={"type": "TPU", "count": 1})
    answer = await ada.post("/api/jobs", json=body)

    assert answer.status_code == 400
    details = answer.json()["details"]
    assert details.keys() == {
        "gpu_config.type",
        "hyperparameters.learning_rate",
        "hyperparameters.batch_size",
        "hyperparameters.rank",
        "hyperparameters.epochs",
    }
    assert "A100-80GB" in details["gpu_config.type"][0]


async def test_more_epochs_than_the_originals_maximum_are_rejected(ada: User, pool: Pool):
    dataset_id = await validated_dataset(pool, ada)
    most, more = [
        await ada.post("/api/jobs", json=submission(dataset_id, hyperparameters={"epochs": epochs}))
        for epochs in (20, 21)
    ]

    assert (most.status_code, more.status_code) == (201, 400)
    message = {"hyperparameters.epochs": ["Input should be less than or equal to 20"]}
    assert more.json()["details"] == message
    many = await ada.post("/api/jobs", json=submission(dataset_id, hyperparameters={"epochs": 51}))
    assert many.json()["details"] == message


async def test_a_changed_estimate_must_be_accepted(ada: User, pool: Pool):
    dataset_id = await validated_dataset(pool, ada, training_pairs=1000, tokens=180_000)
    refused = await ada.post("/api/jobs", json=submission(dataset_id, estimated_cost=1.5))
    accepted = await ada.post("/api/jobs", json=submission(dataset_id, estimated_cost=1.5, accept_estimate=True))
    close = await ada.post("/api/jobs", json=submission(dataset_id, estimated_cost=1.7))

    assert (refused.status_code, refused.json()["code"]) == (409, "estimate_changed")
    assert refused.json()["details"] == {"estimated_cost": 1.76}
    assert (accepted.status_code, close.status_code) == (201, 201)
    assert await outbox_topics(pool) == ["job.queued", "job.queued"]


@pytest.mark.parametrize("field", ["status", "user_id", "estimated_total_cost"])
async def test_a_submission_cannot_set_server_fields(ada: User, pool: Pool, field: str):
    answer = await ada.post("/api/jobs", json=submission(await validated_dataset(pool, ada), **{field: "x"}))

    assert (answer.status_code, answer.json()["details"].keys()) == (400, {field})


@pytest.mark.parametrize(
    ("hyperparameters", "reason"),
    [
        ({"quantization": "nf4"}, "use none"),
        ({"target_modules": ["q_proj", "lm_head"]}, "take it out"),
        ({"target_modules": ["q_project"]}, "use all-linear"),
    ],
)
async def test_an_infeasible_job_is_rejected_with_an_alternative(
    ada: User, pool: Pool, hyperparameters: dict[str, Any], reason: str
):
    body = submission(await validated_dataset(pool, ada), hyperparameters=hyperparameters)
    answer = await ada.post("/api/jobs", json=body | {"gpu_config": {"type": "CPU"}})

    [field] = hyperparameters
    assert answer.json()["code"] == "untrainable"
    assert (answer.status_code, answer.json()["details"].keys()) == (400, {f"hyperparameters.{field}"})
    assert reason in answer.json()["details"][f"hyperparameters.{field}"][0]
    assert await outbox_topics(pool) == []


async def test_every_wrong_field_of_a_submission_is_named_at_once(ada: User, pool: Pool):
    wrong = {
        "rank": 3,
        "alpha": 0,
        "dropout": 1,
        "target_modules": [],
        "quantization": "int3",
        "epochs": 10_000,
        "learning_rate": 1,
        "scheduler": "none",
        "warmup_ratio": 2,
        "weight_decay": -1,
        "max_grad_norm": 0,
        "batch_size": 65,
        "gradient_accumulation": 0,
        "max_length": 2**63 - 1,
        "early_stopping": {"patience": 0, "min_delta": -1, "colour": 1},
        "validation_split": 0.6,
        "seed": -1,
        "max_cost": -1,
        "max_duration": 59,
        "reward": 1,
    }
    body = {
        "dataset_id": 7,
        "preset_id": "best",
        "gpu_config": {"type": "x" * 65, "count": 9},
        "hyperparameters": wrong,
        "estimated_cost": "much",
        "accept_estimate": "maybe",
        "name": " ",
        "user_id": "me",
    }
    answer = await ada.post("/api/jobs", json=body)

    named = {path for path in body if path not in ("gpu_config", "hyperparameters")}
    named |= {"gpu_config.type", "gpu_config.count"}
    named |= {f"hyperparameters.{name}" for name in wrong if name not in ("early_stopping", "target_modules")}
    named |= {f"hyperparameters.early_stopping.{name}" for name in ("patience", "min_delta", "colour")}
    details = answer.json()["details"].keys()
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")
    assert {name for name in details if "target_modules" not in name} == named
    assert any("target_modules" in name for name in details)


@pytest.mark.parametrize(("first", "second"), [("epochs", "max_steps"), ("warmup_ratio", "warmup_steps")])
async def test_contradicting_fields_are_rejected(ada: User, pool: Pool, first: str, second: str):
    body = submission(await validated_dataset(pool, ada), hyperparameters={first: 1, second: 1})
    answer = await ada.post("/api/jobs", json=body)

    assert answer.status_code == 400
    assert answer.json()["details"] == {"hyperparameters": [f"give {first} or {second}, not both"]}


async def test_an_estimate_beyond_the_maximum_is_capped_and_recorded(ada: User, pool: Pool):
    dataset_id = await validated_dataset(pool, ada, training_pairs=1, tokens=10**15)
    answer = await ada.post("/api/jobs", json=submission(dataset_id, hyperparameters={"max_steps": 10_000_000}))

    assert answer.status_code == 201
    assert answer.json()["data"]["estimated_total_cost"] == 9_999_999_999


async def test_a_cap_below_the_estimate_is_the_users_choice(ada: User, pool: Pool):
    job = await queued_job(pool, ada, hyperparameters={"max_cost": 0.51})

    assert job["hyperparameters"]["max_cost"] == 0.51
    assert job["submitted"] == {"max_cost": 0.51}


async def test_a_cap_below_the_storage_fee_is_refused_with_the_fee(ada: User, pool: Pool):
    body = submission(await validated_dataset(pool, ada), hyperparameters={"max_cost": 0.1})
    answer = await ada.post("/api/jobs", json=body)

    assert answer.status_code == 400
    assert answer.json()["details"] == {
        "hyperparameters.max_cost": ["must be at least 0.50 USD, which storing the model costs"]
    }
    body["hyperparameters"]["max_cost"] = 0.49999
    assert (await ada.post("/api/jobs", json=body)).status_code == 400
    body["hyperparameters"]["max_cost"] = 0.5
    assert (await ada.post("/api/jobs", json=body)).status_code == 201
    await set_price(ada, "storage", amount=0.75)
    assert "0.75" in (await ada.post("/api/jobs", json=body)).text


async def test_an_unknown_gpu_is_named_with_all_other_wrong_fields(ada: User, pool: Pool):
    wrong = submission(await validated_dataset(pool, ada), gpu_config={"type": "TPU", "count": 9}, name="")
    job = await queued_job(pool, ada)
    for path in ("/api/jobs", f"/api/jobs/{job['id']}/clone"):
        answer = await ada.post(path, json=wrong)
        assert answer.status_code == 400
        details = answer.json()["details"]
        assert details.keys() == {"gpu_config.type", "gpu_config.count", "name"}
        assert "A100-80GB" in details["gpu_config.type"][0]


async def test_a_submission_takes_six_statements_in_its_transaction(ada: User, pool: Pool):
    body = submission(await validated_dataset(pool, ada))
    async with statements(pool) as sent:
        await ada.post("/api/jobs", json=body)  # a connection's first submission also asks for the types that it meets
        sent.clear()
        assert (await ada.post("/api/jobs", json=body)).status_code == 201

    queries = [query for query, _ in sent]
    inside = queries[queries.index("BEGIN;") : queries.index("COMMIT;") + 1]
    # begin, lock the data set, read the prices, insert the job unless that is deleted, insert its event, commit
    assert len(inside) == 6, inside


@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("GET", "/metrics"), ("GET", "/events"), ("POST", "/cancel")]
)
async def test_a_job_of_somebody_else_does_not_exist(ada: User, eve: User, pool: Pool, method: str, path: str):
    job = await queued_job(pool, ada)
    foreign = await eve.request(method, f"/api/jobs/{job['id']}{path}")
    unknown = await eve.request(method, f"/api/jobs/{new_id()}{path}")

    assert (foreign.status_code, foreign.json()) == (404, unknown.json())
    assert await outbox_topics(pool) == ["job.queued"]


async def test_many_cancellations_request_one_stop(ada: User, pool: Pool):
    job = await queued_job(pool, ada)
    answers: list[httpx.Response] = [
        *await asyncio.gather(*(ada.post(f"/api/jobs/{job['id']}/cancel") for _ in range(4))),
        await ada.post(f"/api/jobs/{job['id']}/cancel"),
    ]

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["data"]["cancel_requested_at"] for answer in answers}) == 1
    assert await outbox_topics(pool) == ["job.queued", "job.cancel_requested"]
    event = JobCancelRequested.model_validate_json(await pool.fetchval("SELECT value FROM outbox ORDER BY id DESC"))
    assert (str(event.job_id), event.user_id) == (job["id"], ada.id)


async def test_concurrent_cancellations_request_one_stop(ada: User, pool: Pool):
    job_id = UUID((await queued_job(pool, ada))["id"])
    await in_turn(pool, lambda conn: cancel_job(conn, ada.id, job_id), lambda conn: cancel_job(conn, ada.id, job_id))

    assert await outbox_topics(pool) == ["job.queued", "job.cancel_requested"]


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
async def test_a_finished_job_cannot_be_cancelled(ada: User, pool: Pool, status: str):
    job = await queued_job(pool, ada)
    await pool.execute("UPDATE jobs SET status = $1", status)
    answer = await ada.post(f"/api/jobs/{job['id']}/cancel")

    assert (answer.status_code, answer.json()["code"]) == (409, "job_finished")
    assert await outbox_topics(pool) == ["job.queued"]


async def test_presets_and_prices_are_served(ada: User):
    presets = (await ada.get("/api/presets")).json()["data"]["presets"]
    gpus = (await ada.get("/api/gpus")).json()["data"]["gpus"]

    assert [preset["id"] for preset in presets] == ["fast", "balanced", "quality"]
    assert {(gpu["type"], gpu["price_per_hour"], gpu["tokens_per_second"]) for gpu in gpus} == {
        ("A100-80GB", 3.5, 1800),
        ("A100-40GB", 2.8, 1500),
        ("H100", 4.2, 2200),
        ("V100-32GB", 2.1, 1200),
        ("CPU", 0.05, 2000),
    }
