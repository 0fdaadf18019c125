"""The same job again, and no longer: retry, clone, delete."""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from httpx import Response

from brightrun.api.jobs.actions import delete_job
from brightrun.contracts.events import JobDeleted, JobQueued
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.values import new_id, utc_now
from brightrun.runtime.database import Pool
from tests.builders import artifact_ready, job_completed
from tests.services.api.conftest import User, in_turn, outbox_topics, set_price, submission, validated_dataset
from tests.services.api.test_projection import tell

Json = dict[str, Any]
KEY = {"Idempotency-Key": "again"}


@pytest.fixture
async def job(ada: User, pool: Pool) -> Json:
    """A job with an order of its own."""
    body = submission(
        await validated_dataset(pool, ada, training_pairs=1000, tokens=180_000),
        name="First try",
        hyperparameters={"seed": 7, "max_steps": 50, "rank": 32},
    )
    answer = await ada.post("/api/jobs", json=body)
    assert answer.status_code == 201
    submitted: Json = answer.json()["data"]
    return submitted


async def end(pool: Pool, status: str) -> None:
    await pool.execute("UPDATE jobs SET status = $1", status)


async def newest_event(pool: Pool) -> JobQueued:
    return JobQueued.model_validate_json(await pool.fetchval("SELECT value FROM outbox ORDER BY id DESC LIMIT 1"))


@pytest.mark.parametrize("status", ["failed", "cancelled"])
async def test_a_job_that_did_not_succeed_is_tried_again_at_the_prices_of_now(
    ada: User, pool: Pool, job: Json, status: str
):
    await end(pool, status)
    await set_price(ada, "gpus/A100-80GB", price_per_hour=7, tokens_per_second=1800)
    answer = await ada.post(f"/api/jobs/{job['id']}/retry")

    again = answer.json()["data"]
    assert answer.status_code == 201
    assert (again["status"], again["retry_of"], again["cloned_from"]) == ("queued", job["id"], None)
    for same in ("name", "preset_id", "gpu_config", "submitted", "hyperparameters", "dataset_id"):
        assert again[same] == job[same]
    assert await outbox_topics(pool) == ["job.queued", "job.queued"]
    event = await newest_event(pool)
    assert (str(event.job_id), str(event.pricing.hourly_rate)) == (again["id"], "7.0000")
    assert (await ada.get(f"/api/jobs/{job['id']}")).json()["data"]["job"]["status"] == status


async def test_a_retry_goes_on_from_the_last_checkpoint_while_it_is_kept(ada: User, pool: Pool, job: Json):
    async def retry() -> Response:
        return await ada.post(f"/api/jobs/{job['id']}/retry", json={"from_checkpoint": True})

    async def kept_until(until: datetime | None) -> None:
        ended = job_completed(job_id=UUID(job["id"]), outcome=JobStatus.CANCELLED, resumable_until=until)
        await pool.execute("UPDATE jobs SET status = 'running', ending = NULL")
        await tell(pool, ended)

    for until in (None, utc_now() - timedelta(seconds=1)):
        await kept_until(until)
        assert ((await retry()).status_code, (await retry()).json()["code"]) == (409, "no_checkpoint")

    until = utc_now() + timedelta(days=7)
    await kept_until(until)
    shown = (await ada.get(f"/api/jobs/{job['id']}")).json()["data"]["job"]
    assert (datetime.fromisoformat(shown["resumable_until"]), shown["from_checkpoint"]) == (until, False)
    answer = await retry()
    assert (answer.status_code, answer.json()["data"]["from_checkpoint"]) == (201, True)
    event = await newest_event(pool)
    assert (str(event.job_id), str(event.resumes_job)) == (answer.json()["data"]["id"], job["id"])


@pytest.mark.parametrize("status", ["queued", "initializing", "running", "completed"])
async def test_another_job_is_not_tried_again(ada: User, pool: Pool, job: Json, status: str):
    await end(pool, status)
    answer = await ada.post(f"/api/jobs/{job['id']}/retry")

    assert (answer.status_code, answer.json()["code"]) == (409, "not_retryable")
    assert answer.json()["details"] == {"status": status}
    assert await outbox_topics(pool) == ["job.queued"]


async def test_a_job_with_a_deleted_data_set_cannot_be_retried(ada: User, pool: Pool, job: Json):
    await end(pool, "failed")
    await pool.execute("DELETE FROM datasets")

    assert (await ada.post(f"/api/jobs/{job['id']}/retry")).json()["code"] == "dataset_not_found"


async def test_a_clone_is_the_same_request(ada: User, pool: Pool, job: Json):
    for body in ({}, {"json": {}}):
        answer = await ada.post(f"/api/jobs/{job['id']}/clone", **body)
        clone = answer.json()["data"]
        assert answer.status_code == 201
        assert (clone["cloned_from"], clone["retry_of"], clone["status"]) == (job["id"], None, "queued")
        for same in ("name", "preset_id", "gpu_config", "submitted", "hyperparameters", "dataset_id"):
            assert clone[same] == job[same]


async def test_changes_replace_submitted_values(ada: User, pool: Pool, job: Json):
    other = await validated_dataset(pool, ada, name="Other")
    changes = {
        "dataset_id": str(other),
        "preset_id": "quality",
        "gpu_config": {"type": "CPU", "count": 2},
        "hyperparameters": {"epochs": 2, "learning_rate": 1e-4},
        "name": "Second try",
    }
    clone = (await ada.post(f"/api/jobs/{job['id']}/clone", json=changes)).json()["data"]

    assert (clone["name"], clone["preset_id"], clone["dataset_id"]) == ("Second try", "quality", str(other))
    assert clone["gpu_config"] == {"type": "CPU", "count": 2}
    assert clone["submitted"] == {"seed": 7, "rank": 32, "epochs": 2, "learning_rate": 1e-4}
    assert (clone["hyperparameters"]["epochs"], clone["hyperparameters"]["max_steps"]) == (2, None)
    assert clone["hyperparameters"]["batch_size"] == 2  # of the preset quality


async def test_a_clone_follows_the_rules_of_a_submission(ada: User, pool: Pool, job: Json):
    path = f"/api/jobs/{job['id']}/clone"
    wrong = {"hyperparameters": {"rank": 3, "colour": 1}, "gpu_config": {"type": "", "count": 9}, "status": "queued"}
    refused = await ada.post(path, json=wrong)
    unsupported = await ada.post(path, json={"hyperparameters": {"method": "dpo"}, "gpu_config": {"type": "TPU"}})
    custom = await ada.post(path, json={"preset_id": "custom"})
    dear = await ada.post(path, json={"estimated_cost": 0.01})

    assert refused.json()["details"].keys() == {
        "hyperparameters.rank", "hyperparameters.colour", "gpu_config.type", "gpu_config.count", "status",
    }  # fmt: skip
    assert unsupported.json()["details"].keys() == {"hyperparameters.method", "gpu_config.type"}
    assert custom.json()["details"].keys() == {"hyperparameters.batch_size", "hyperparameters.learning_rate"}
    assert (dear.status_code, dear.json()["code"]) == (409, "estimate_changed")
    assert await outbox_topics(pool) == ["job.queued"]


@pytest.mark.parametrize("action", ["retry", "clone"])
async def test_a_repetition_with_a_key_makes_one_job(ada: User, pool: Pool, job: Json, action: str):
    await end(pool, "failed")
    path = f"/api/jobs/{job['id']}/{action}"
    answers = await asyncio.gather(*(ada.post(path, headers=KEY) for _ in range(10)))
    last = await ada.post(path, headers=KEY)

    assert {answer.status_code for answer in answers} <= {201, 409}
    made = {answer.json()["data"]["id"] for answer in [*answers, last] if answer.status_code == 201}
    assert made == {last.json()["data"]["id"]}
    assert await pool.fetchval("SELECT count(*) FROM jobs") == 2


async def test_a_key_is_for_one_kind_of_request(ada: User, pool: Pool, job: Json):
    await end(pool, "failed")
    first = await ada.post(f"/api/jobs/{job['id']}/retry", headers=KEY)
    clone = await ada.post(f"/api/jobs/{job['id']}/clone", headers=KEY)
    changed = await ada.post(f"/api/jobs/{job['id']}/clone", headers=KEY, json={"name": "x"})
    await end(pool, "failed")
    other = await ada.post(f"/api/jobs/{first.json()['data']['id']}/retry", headers=KEY)

    assert {answer.json()["code"] for answer in (clone, changed, other)} == {"idempotency_key_reused"}


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
async def test_a_job_that_is_over_is_deleted_from_everything_that_shows_it(
    ada: User, pool: Pool, job: Json, status: str
):
    await end(pool, status)
    answer = await ada.delete(f"/api/jobs/{job['id']}")

    assert (answer.status_code, answer.json()) == (200, {"success": True, "data": None})
    for path in ("", "/metrics", "/events"):
        assert (await ada.get(f"/api/jobs/{job['id']}{path}")).status_code == 404
    assert (await ada.get("/api/jobs")).json()["data"]["pagination"]["total"] == 0
    assert (await ada.delete(f"/api/jobs/{job['id']}")).status_code == 404
    assert await outbox_topics(pool) == ["job.queued", "job.deleted"]
    event = JobDeleted.model_validate_json(await pool.fetchval("SELECT value FROM outbox ORDER BY id DESC LIMIT 1"))
    assert (str(event.job_id), event.user_id) == (job["id"], ada.id)


@pytest.mark.parametrize("status", ["queued", "initializing", "running"])
async def test_a_job_that_is_not_over_is_not_deleted(ada: User, pool: Pool, job: Json, status: str):
    await end(pool, status)
    answer = await ada.delete(f"/api/jobs/{job['id']}")

    assert (answer.status_code, answer.json()["code"]) == (409, "job_not_over")
    assert "cancel it first" in answer.json()["error"]
    assert await outbox_topics(pool) == ["job.queued"]


async def test_a_job_is_deleted_once(ada: User, pool: Pool, job: Json):
    await end(pool, "failed")
    answers = await asyncio.gather(*(ada.delete(f"/api/jobs/{job['id']}") for _ in range(5)))

    assert sorted(answer.status_code for answer in answers) == [200, 404, 404, 404, 404]
    assert await outbox_topics(pool) == ["job.queued", "job.deleted"]


async def test_facts_that_come_after_the_deletion_bring_nothing_back(ada: User, pool: Pool, job: Json):
    await end(pool, "completed")
    await in_turn(
        pool,
        lambda conn: delete_job(conn, ada.id, job["id"]),
        lambda conn: conn.execute("SELECT FROM jobs WHERE id = $1 FOR UPDATE", job["id"]),
    )
    await tell(pool, job_completed(job_id=job["id"]), artifact_ready(job_id=job["id"]))

    assert await pool.fetchval("SELECT count(*) FROM jobs") == 0


async def test_a_key_whose_job_was_deleted_makes_no_other(ada: User, pool: Pool):
    body = submission(await validated_dataset(pool, ada))
    made = await ada.post("/api/jobs", json=body, headers=KEY)
    await end(pool, "failed")
    await ada.delete(f"/api/jobs/{made.json()['data']['id']}")
    again = await ada.post("/api/jobs", json=body, headers=KEY)

    assert (again.status_code, again.json()["code"]) == (410, "job_deleted")


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/retry"), ("POST", "/clone"), ("POST", "/pause"), ("POST", "/resume"), ("DELETE", "")],
)
async def test_somebody_elses_job_is_neither_repeated_nor_touched(
    ada: User, eve: User, pool: Pool, job: Json, *, method: str, path: str
):
    await end(pool, "failed")
    foreign = await eve.request(method, f"/api/jobs/{job['id']}{path}")
    unknown = await eve.request(method, f"/api/jobs/{new_id()}{path}")

    assert (foreign.status_code, foreign.json()) == (404, unknown.json())
    assert (await ada.get(f"/api/jobs/{job['id']}")).status_code == 200
    assert await outbox_topics(pool) == ["job.queued"]
