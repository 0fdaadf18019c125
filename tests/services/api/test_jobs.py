import asyncio
from typing import Any
from uuid import UUID

import httpx
import pytest

from brightrun.api.actions.jobs import cancel_job
from brightrun.contracts.events import JobCancelRequested, JobQueued
from brightrun.contracts.values import new_id
from brightrun.runtime.database import Pool
from tests.services.api.conftest import User, in_turn, outbox_topics, submission, validated_dataset
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
    assert event.spec.model_dump(mode="json") == job["hyperparameters"]
    assert (str(event.pricing.hourly_rate), str(event.pricing.storage)) == ("3.5000", "0.5000")
    assert (event.dataset.dataset_id, event.dataset.tokens) == (dataset_id, 180_000)


async def test_a_job_keeps_the_price_it_was_promised(ada: User, pool: Pool):
    await pool.execute("UPDATE gpu_prices SET price_per_hour = 0.0125 WHERE type = 'CPU'")
    await queued_job(pool, ada, gpu_config={"type": "CPU", "count": 3})

    event = JobQueued.model_validate_json(await pool.fetchval("SELECT value FROM outbox"))
    assert str(event.pricing.hourly_rate) == "0.0375"


async def test_a_job_is_named_after_its_data_set(ada: User, pool: Pool):
    assert (await queued_job(pool, ada))["name"] == "Workshop replies"


async def test_a_data_set_that_was_not_heard_of_is_asked_for(ada: User, artifacts: FakeArtifacts, pool: Pool):
    answer = await ada.post("/api/jobs", json=submission(artifacts.hold_dataset(ada.id)))

    assert answer.status_code == 201
    assert answer.json()["data"]["dataset"]["total_training_pairs"] == 240


@pytest.mark.parametrize("status", ["uploaded", "validating", "invalid"])
async def test_a_data_set_that_is_not_ready_is_refused_with_its_state(
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


async def test_everything_that_custom_lacks_is_named_with_an_unknown_gpu(ada: User, pool: Pool):
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
async def test_a_submission_cannot_set_what_is_ours(ada: User, pool: Pool, field: str):
    answer = await ada.post("/api/jobs", json=submission(await validated_dataset(pool, ada), **{field: "x"}))

    assert (answer.status_code, answer.json()["details"].keys()) == (400, {field})


async def test_jobs_are_listed_newest_first_in_pages_and_by_status(ada: User, eve: User, pool: Pool):
    dataset_id = await validated_dataset(pool, ada)
    for number in range(5):
        await ada.post("/api/jobs", json=submission(dataset_id, name=f"job {number}"))
    await pool.execute("UPDATE jobs SET status = 'running' WHERE name = 'job 3'")

    page = (await ada.get("/api/jobs", params={"page": 2, "limit": 2})).json()["data"]
    assert [job["name"] for job in page["jobs"]] == ["job 2", "job 1"]
    assert page["pagination"] == {"page": 2, "limit": 2, "total": 5, "totalPages": 3}
    running = (await ada.get("/api/jobs", params={"status": "running"})).json()["data"]
    assert ([job["name"] for job in running["jobs"]], running["pagination"]["total"]) == (["job 3"], 1)
    assert (await eve.get("/api/jobs")).json()["data"]["jobs"] == []


@pytest.mark.parametrize(
    "query", [{"limit": 101}, {"limit": 0}, {"page": 0}, {"page": 10**30}, {"page": "x"}, {"status": "paused"}]
)
async def test_a_page_that_is_none_is_refused(ada: User, query: dict[str, Any]):
    answer = await ada.get("/api/jobs", params=query)

    assert (answer.status_code, answer.json()["details"].keys()) == (400, query.keys())


@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("GET", "/metrics"), ("GET", "/events"), ("POST", "/cancel")]
)
async def test_a_job_of_somebody_else_does_not_exist(ada: User, eve: User, pool: Pool, method: str, path: str):
    job = await queued_job(pool, ada)
    foreign = await eve.request(method, f"/api/jobs/{job['id']}{path}")
    unknown = await eve.request(method, f"/api/jobs/{new_id()}{path}")

    assert (foreign.status_code, foreign.json()) == (404, unknown.json())
    assert await outbox_topics(pool) == ["job.queued"]


async def test_cancelling_many_times_asks_once(ada: User, pool: Pool):
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


async def test_cancelling_twice_at_the_same_moment_asks_once(ada: User, pool: Pool):
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
