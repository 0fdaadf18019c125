"""Jobs that were submitted while their data set was still being checked, as the OpenAI dialect allows."""

from dataclasses import replace
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

import pytest
from fastapi import FastAPI

from brightrun.api.datasets.models import Dataset
from brightrun.api.errors import DatasetNotReady, EstimateChanged
from brightrun.api.jobs import queries as jobs
from brightrun.api.jobs import submission as submissions
from brightrun.api.jobs import subscribers
from brightrun.api.jobs.actions import cancel_job
from brightrun.api.jobs.models import IdempotencyClaim, Inputs, Job, JobRequest
from brightrun.api.jobs.submission import create_job
from brightrun.contracts.events import DatasetValidated, JobQueued, JobRefused
from brightrun.contracts.training import GpuConfig, TrainingSpec
from brightrun.contracts.values import new_id, utc_now
from brightrun.runtime.clients import ServiceClient
from brightrun.runtime.database import Connection, Pool, transaction
from tests.builders import dataset_validated
from tests.services.api.conftest import User, in_turn, outbox_topics, set_price, submission
from tests.services.api.fakes import FakeArtifacts

UNKNOWN = {"total_training_pairs": None, "total_tokens": None, "sha256": None}


def job_request(dataset_id: UUID, **changes: Any) -> JobRequest:
    values = {
        "dataset_id": dataset_id,
        "preset_id": "fast",
        "gpu_config": GpuConfig(type="A100-80GB"),
        "hyperparameters": TrainingSpec.model_validate({}),
        "dialect": "openai",
        "may_await_dataset": True,
    }
    return JobRequest(**values | changes)


def claim(**changes: Any) -> IdempotencyClaim:
    return IdempotencyClaim(**{"sha256": b"one", "began_at": utc_now()} | changes)


async def record(pool: Pool, conn: Connection, user: User, dataset_id: UUID, claim: IdempotencyClaim) -> Job:
    """The last step of a submission, with a data set that the gateway knows."""
    request = job_request(dataset_id)
    inputs = await submissions.fetch_inputs(pool, cast("ServiceClient", None), user.id, request)
    return await submissions.record_job(conn, user.id, request, inputs, claim)


def verdict(user: User, dataset_id: UUID, **changes: Any) -> DatasetValidated:
    return dataset_validated(
        **{"user_id": user.id, "dataset_id": dataset_id, "training_pairs": 1000, "tokens": 180_000} | changes
    )


async def tell(pool: Pool, event: DatasetValidated) -> None:
    async with transaction(pool) as conn:
        await subscribers.on_dataset_validated.handle([event], conn)


async def shown(user: User, job_id: UUID) -> dict[str, Any]:
    job: dict[str, Any] = (await user.get(f"/api/jobs/{job_id}")).json()["data"]["job"]
    return job


@pytest.fixture
def dataset_id(ada: User, artifacts: FakeArtifacts) -> UUID:
    return artifacts.hold_dataset(ada.id, status="validating", **UNKNOWN)


@pytest.fixture
async def awaiting(app: FastAPI, pool: Pool, ada: User, dataset_id: UUID) -> Job:
    return await create_job(
        pool, app.state.clients, ada.id, job_request(dataset_id, metadata={"team": "shop"}), claim()
    )


async def test_an_awaiting_job_is_recorded_and_not_published(ada: User, pool: Pool, awaiting: Job):
    assert awaiting.awaiting_dataset
    assert (awaiting.dialect, awaiting.metadata) == ("openai", {"team": "shop"})
    assert await jobs.find_job(pool, ada.id, awaiting.id) == awaiting
    job = await shown(ada, awaiting.id)
    assert (job["status"], job["current_stage"], job["metadata"]) == ("queued", "validating", {"team": "shop"})
    assert await outbox_topics(pool) == []


async def test_an_awaiting_job_is_queued_with_the_real_numbers_once_its_data_set_is_ready(
    ada: User, pool: Pool, awaiting: Job, dataset_id: UUID
):
    await tell(pool, verdict(ada, dataset_id))

    job = await shown(ada, awaiting.id)
    # 125 steps · 1440 tokens / 1800 + 1200 s = 1300 s = 0.3611 h × 3.50 = 1.2639, + 0.50
    assert (job["status"], job["estimated_total_cost"], job["total_steps"]) == ("queued", 1.76, 125)
    assert job["dataset"]["total_training_pairs"] == 1000
    assert await outbox_topics(pool) == ["job.queued"]
    event = JobQueued.model_validate_json(await pool.fetchval("SELECT value FROM outbox"))
    assert (event.job_id, event.user_id, event.estimated_cost) == (awaiting.id, ada.id, Decimal("1.76"))
    assert (event.dataset.dataset_id, event.dataset.tokens) == (dataset_id, 180_000)
    assert event.spec.model_dump(mode="json") == job["hyperparameters"]


async def test_an_awaiting_job_keeps_the_price_of_its_submission(
    ada: User, pool: Pool, awaiting: Job, dataset_id: UUID
):
    await set_price(ada, "gpus/A100-80GB", price_per_hour=99, tokens_per_second=1)
    await tell(pool, verdict(ada, dataset_id))

    assert (await shown(ada, awaiting.id))["estimated_total_cost"] == 1.76


async def test_an_awaiting_job_fails_with_a_data_set_that_is_unusable(
    ada: User, pool: Pool, awaiting: Job, dataset_id: UUID
):
    event = verdict(ada, dataset_id, status="invalid", error_count=1234)
    await tell(pool, event)
    await tell(pool, event)

    job = await shown(ada, awaiting.id)
    assert (job["status"], job["final_cost"], job["error"]["code"]) == ("failed", 0, "invalid_training_file")
    assert "1,234 errors" in job["error_message"]
    assert job["completed_at"] is not None
    assert await outbox_topics(pool) == ["job.refused"]
    refused = JobRefused.model_validate_json(await pool.fetchval("SELECT value FROM outbox"))
    assert (refused.job_id, refused.user_id, refused.dataset_id) == (awaiting.id, ada.id, dataset_id)
    assert refused.error.model_dump() == job["error"]


async def test_a_redelivered_validation_queues_once(ada: User, pool: Pool, awaiting: Job, dataset_id: UUID):
    for _ in range(2):
        await tell(pool, verdict(ada, dataset_id))

    assert await outbox_topics(pool) == ["job.queued"]


async def test_only_the_jobs_of_the_data_set_are_queued(
    app: FastAPI, ada: User, pool: Pool, awaiting: Job, artifacts: FakeArtifacts
):
    other = artifacts.hold_dataset(ada.id, status="uploaded", **UNKNOWN)
    waiting = await create_job(pool, app.state.clients, ada.id, job_request(other), claim())
    await tell(pool, verdict(ada, other))

    event = JobQueued.model_validate_json(await pool.fetchval("SELECT value FROM outbox"))
    assert event.job_id == waiting.id
    still = await jobs.find_job(pool, ada.id, awaiting.id)
    assert still is not None
    assert still.awaiting_dataset


async def test_a_validation_at_the_same_moment_as_the_submission_does_not_strand_it(
    ada: User, pool: Pool, dataset_id: UUID
):
    inputs = Inputs(Dataset(dataset_id, "Workshop replies", "openai_chat", "validating", 0, 0, None))

    async def submit(conn: Connection) -> None:
        await submissions.record_job(conn, ada.id, job_request(dataset_id), inputs, claim())

    async def validate(conn: Connection) -> None:
        await subscribers.on_dataset_validated.handle([verdict(ada, dataset_id)], conn)

    await in_turn(pool, submit, validate)
    assert await outbox_topics(pool) == ["job.queued"]


async def test_a_submission_at_the_same_moment_as_the_validation_is_queued_at_once(
    ada: User, pool: Pool, dataset_id: UUID
):
    inputs = Inputs(Dataset(dataset_id, "Workshop replies", "openai_chat", "validating", 0, 0, None))

    async def validate(conn: Connection) -> None:
        await subscribers.on_dataset_validated.handle([verdict(ada, dataset_id)], conn)

    async def submit(conn: Connection) -> None:
        await submissions.record_job(conn, ada.id, job_request(dataset_id), inputs, claim())

    await in_turn(pool, validate, submit)
    assert await outbox_topics(pool) == ["job.queued"]
    assert await pool.fetchval("SELECT count(*) FROM jobs WHERE awaiting_dataset IS NOT NULL") == 0


async def test_an_awaiting_job_that_is_cancelled_ends_at_once(ada: User, pool: Pool, awaiting: Job, dataset_id: UUID):
    answer = await ada.post(f"/api/jobs/{awaiting.id}/cancel")
    again = await ada.post(f"/api/jobs/{awaiting.id}/cancel")
    await tell(pool, verdict(ada, dataset_id))

    job = answer.json()["data"]
    assert (answer.status_code, job["status"], job["final_cost"]) == (200, "cancelled", 0)
    assert job["cancel_requested_at"] == job["completed_at"]
    assert (again.status_code, again.json()["code"]) == (409, "job_finished")
    assert (await shown(ada, awaiting.id))["status"] == "cancelled"
    assert await outbox_topics(pool) == []


async def test_a_cancellation_and_a_validation_at_the_same_moment_agree(
    ada: User, pool: Pool, awaiting: Job, dataset_id: UUID
):
    await in_turn(
        pool,
        lambda conn: cancel_job(conn, ada.id, awaiting.id),
        lambda conn: subscribers.on_dataset_validated.handle([verdict(ada, dataset_id)], conn),
    )

    assert (await shown(ada, awaiting.id))["status"] == "cancelled"
    assert await outbox_topics(pool) == []


async def test_a_job_is_not_held_for_a_data_set_that_is_unusable(
    app: FastAPI, ada: User, pool: Pool, artifacts: FakeArtifacts
):
    unusable = artifacts.hold_dataset(ada.id, status="invalid")
    with pytest.raises(DatasetNotReady):
        await create_job(pool, app.state.clients, ada.id, job_request(unusable), claim())


async def test_a_claimed_price_is_not_compared_before_the_numbers_are_known(
    app: FastAPI, ada: User, pool: Pool, dataset_id: UUID
):
    request = job_request(dataset_id, estimated_cost=Decimal(1000))
    assert (await create_job(pool, app.state.clients, ada.id, request, claim())).awaiting_dataset

    known = new_id()
    await tell(pool, verdict(ada, known))
    with pytest.raises(EstimateChanged):
        await create_job(pool, app.state.clients, ada.id, replace(request, dataset_id=known), claim())


async def test_the_api_still_refuses_a_data_set_that_is_not_checked(ada: User, pool: Pool, dataset_id: UUID):
    assert (await ada.post("/api/jobs", json=submission(dataset_id))).json()["code"] == "dataset_not_ready"
