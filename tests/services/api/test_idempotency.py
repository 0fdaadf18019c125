"""Requests that come more than once make one job."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI

from brightrun.api import loops
from brightrun.api.jobs import submission as jobs
from brightrun.api.jobs.models import IdempotencyClaim, Job
from brightrun.contracts.values import utc_now
from brightrun.runtime.clients import PeerError
from brightrun.runtime.database import Connection, Pool, transaction
from tests.services.api.conftest import User, in_turn, outbox_topics, submission, validated_dataset
from tests.services.api.fakes import FakeArtifacts
from tests.services.api.test_awaiting_dataset import job_request, record

KEY = {"Idempotency-Key": "nightly-2026-11-25"}


async def count_jobs(pool: Pool) -> int:
    count: int = await pool.fetchval("SELECT count(*) FROM jobs")
    return count


async def test_fifty_submissions_with_one_key_make_one_job(ada: User, pool: Pool):
    body = submission(await validated_dataset(pool, ada))
    answers = await asyncio.gather(*(ada.post("/api/jobs", json=body, headers=KEY) for _ in range(50)))
    last = await ada.post("/api/jobs", json=body, headers=KEY)

    made = [answer for answer in answers if answer.status_code == 201]
    assert {answer.json()["data"]["id"] for answer in [*made, last]} == {last.json()["data"]["id"]}
    assert {answer.json()["code"] for answer in answers if answer not in made} <= {"idempotency_in_flight"}
    assert made
    assert (await count_jobs(pool), await outbox_topics(pool)) == (1, ["job.queued"])


async def test_the_first_answer_is_given_again(ada: User, pool: Pool, artifacts: FakeArtifacts):
    body = submission(artifacts.hold_dataset(ada.id), hyperparameters={"seed": 1, "rank": 8})
    first = await ada.post("/api/jobs", json=body, headers=KEY)
    artifacts.reset()
    body["hyperparameters"] = {"rank": 8, "seed": 1}
    again = await ada.post("/api/jobs", json=body, headers=KEY)

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert await count_jobs(pool) == 1


async def test_a_key_for_another_request_is_refused(ada: User, pool: Pool):
    body = submission(await validated_dataset(pool, ada))
    await ada.post("/api/jobs", json=body, headers=KEY)
    answer = await ada.post("/api/jobs", json=body | {"name": "another"}, headers=KEY)

    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert await count_jobs(pool) == 1


async def test_a_key_is_its_users_own(ada: User, eve: User, pool: Pool):
    for user in (ada, eve):
        body = submission(await validated_dataset(pool, user))
        assert (await user.post("/api/jobs", json=body, headers=KEY)).status_code == 201

    assert await count_jobs(pool) == 2


async def test_a_key_that_is_in_use_just_now_is_to_be_tried_again(app: FastAPI, ada: User, pool: Pool):
    dataset_id = await validated_dataset(pool, ada)
    claim = IdempotencyClaim(sha256=b"other", began_at=utc_now(), key=KEY["Idempotency-Key"])
    async with transaction(pool) as conn:
        assert await record(pool, conn, ada, dataset_id, claim)
        answer = await ada.post("/api/jobs", json=submission(dataset_id), headers=KEY)

    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_in_flight")
    assert answer.headers["retry-after"] == "1"
    assert "x-should-retry" not in answer.headers


async def test_a_refused_submission_leaves_its_key_free(ada: User, pool: Pool):
    body = submission(await validated_dataset(pool, ada))
    refused = await ada.post("/api/jobs", json=body | {"gpu_config": {"type": "TPU", "count": 1}}, headers=KEY)
    made = await ada.post("/api/jobs", json=body, headers=KEY)

    assert (refused.status_code, made.status_code) == (400, 201)


async def test_a_crash_before_the_commit_leaves_nothing(ada: User, pool: Pool):
    body = submission(await validated_dataset(pool, ada))
    claim = IdempotencyClaim(sha256=b"one", began_at=utc_now(), key=KEY["Idempotency-Key"])

    async def crash() -> None:
        async with transaction(pool) as conn:
            assert await record(pool, conn, ada, UUID(body["dataset_id"]), claim)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await crash()

    assert (await count_jobs(pool), await outbox_topics(pool)) == (0, [])
    assert (await ada.post("/api/jobs", json=body, headers=KEY)).status_code == 201


async def test_a_key_expires_after_a_day(ada: User, pool: Pool):
    body = submission(await validated_dataset(pool, ada))
    await ada.post("/api/jobs", json=body, headers=KEY)
    for age, kept in (("23 hours 59 minutes", 1), ("24 hours 1 minute", 0)):
        await pool.execute("UPDATE idempotency_keys SET created_at = now() - $1::text::interval", age)
        assert await loops.prune_keys(pool) is False
        assert await pool.fetchval("SELECT count(*) FROM idempotency_keys") == kept


async def test_an_expired_key_may_be_used_again_before_it_is_pruned(ada: User, pool: Pool):
    body = submission(await validated_dataset(pool, ada))
    await ada.post("/api/jobs", json=body, headers=KEY)
    await pool.execute("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'")
    made = await ada.post("/api/jobs", json=body | {"name": "another"}, headers=KEY)
    again = await ada.post("/api/jobs", json=body | {"name": "another"}, headers=KEY)

    assert (made.status_code, again.json()["data"]["id"]) == (201, made.json()["data"]["id"])
    assert await count_jobs(pool) == 2


@pytest.mark.parametrize("key", ["", "x" * 256, "two words", "tab\t", "schlüssel".encode(), b"\x7f"])
async def test_an_invalid_key_is_rejected(ada: User, pool: Pool, key: str | bytes):
    body = submission(await validated_dataset(pool, ada))
    answer = await ada.post("/api/jobs", json=body, headers={"Idempotency-Key": key})

    assert (answer.status_code, answer.json()["details"].keys()) == (400, {"Idempotency-Key"})
    assert await count_jobs(pool) == 0


async def test_a_key_may_have_255_characters(ada: User, pool: Pool):
    body = submission(await validated_dataset(pool, ada))
    assert (await ada.post("/api/jobs", json=body, headers={"Idempotency-Key": "~" * 255})).status_code == 201


def guarded(**changes: Any) -> IdempotencyClaim:
    """A request of a client that repeats without a key."""
    return IdempotencyClaim(**{"sha256": b"body", "began_at": utc_now(), "guarded": True} | changes)


async def created(app: FastAPI, pool: Pool, user: User, dataset_id: UUID, claim: IdempotencyClaim) -> Job:
    return await jobs.create_job(pool, app.state.clients, user.id, job_request(dataset_id), claim)


async def test_a_repetition_gets_the_job_that_the_first_request_made(app: FastAPI, ada: User, pool: Pool):
    dataset_id = await validated_dataset(pool, ada)
    first = await created(app, pool, ada, dataset_id, guarded())
    again = await created(app, pool, ada, dataset_id, guarded(repeated=True))

    assert again == first
    assert await count_jobs(pool) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"sha256": b"other", "repeated": True},
        {"repeated": False},
        {"repeated": True, "began_at": timedelta(minutes=11)},
    ],
)
async def test_a_different_request_makes_another_job(app: FastAPI, ada: User, pool: Pool, other: dict[str, Any]):
    dataset_id = await validated_dataset(pool, ada)
    first = await created(app, pool, ada, dataset_id, guarded())
    if "began_at" in other:
        other = other | {"began_at": utc_now() + other["began_at"]}
    second = await created(app, pool, ada, dataset_id, guarded(**other))

    assert second.id != first.id


async def test_a_repetition_whose_first_request_never_came_makes_the_job(app: FastAPI, ada: User, pool: Pool):
    dataset_id = await validated_dataset(pool, ada)
    first = await created(app, pool, ada, dataset_id, guarded(repeated=True))
    second = await created(app, pool, ada, dataset_id, guarded(repeated=True))

    assert first == second


async def test_somebody_elses_request_is_no_repetition(app: FastAPI, ada: User, eve: User, pool: Pool):
    await created(app, pool, ada, await validated_dataset(pool, ada), guarded())
    await created(app, pool, eve, await validated_dataset(pool, eve), guarded(repeated=True))

    assert await count_jobs(pool) == 2


async def test_a_repetition_waits_for_the_first_request_that_still_runs(ada: User, pool: Pool):
    dataset_id = await validated_dataset(pool, ada)
    made: list[Job | None] = []

    def sent(claim: IdempotencyClaim) -> Any:
        async def run(conn: Connection) -> None:
            made.append(await record(pool, conn, ada, dataset_id, claim))

        return run

    await in_turn(pool, sent(guarded()), sent(guarded(repeated=True)))
    assert made[0] == made[1]
    assert await count_jobs(pool) == 1


async def test_a_request_overtaken_by_its_repetition_gets_its_job(app: FastAPI, ada: User, pool: Pool):
    dataset_id = await validated_dataset(pool, ada)
    slow = guarded()  # it is asking for the data set while its client gives up on it and sends it again
    overtaking = await created(app, pool, ada, dataset_id, guarded(repeated=True))
    late = await created(app, pool, ada, dataset_id, slow)

    assert late == overtaking
    assert (await created(app, pool, ada, dataset_id, guarded())).id != late.id


async def test_a_real_conflict_is_not_to_be_repeated(ada: User, pool: Pool):
    body = submission(await validated_dataset(pool, ada))
    changed = await ada.post("/api/jobs", json=body | {"estimated_cost": 1000})
    made = await ada.post("/api/jobs", json=body)

    assert (changed.status_code, changed.headers["x-should-retry"]) == (409, "false")
    assert (made.status_code, "x-should-retry" in made.headers) == (201, False)


async def test_a_conflict_that_a_neighbour_found_is_not_to_be_repeated(app: FastAPI, ada: User):
    @app.get("/passed-on")
    async def pass_on() -> None:
        raise PeerError(409, {"code": "still_validating"})

    answer = await ada.get("/passed-on")

    assert (answer.status_code, answer.json()["code"]) == (409, "still_validating")
    assert answer.headers["x-should-retry"] == "false"
