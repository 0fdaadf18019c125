"""Data sets and models are renamed and deleted; a data set never under a job that is not over."""

from datetime import timedelta
from typing import cast
from uuid import UUID

import pytest

from brightrun.api import loops
from brightrun.api.datasets.actions import decide_deletion
from brightrun.api.datasets.models import Dataset
from brightrun.api.errors import DatasetInUse, DatasetNotFound, ModelInUse, ModelNotFound
from brightrun.api.http.clients import open_clients
from brightrun.api.jobs import submission as submissions
from brightrun.api.jobs.models import IdempotencyClaim, Inputs
from brightrun.api.jobs.schemas import SubmitJob
from brightrun.api.models.actions import decide_deletion as decide_model_deletion
from brightrun.api.openai.schemas import CreateJob
from brightrun.api.openai.translation import translate
from brightrun.api.settings import Settings
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.values import new_id, utc_now
from brightrun.runtime.clients import ServiceClient
from brightrun.runtime.database import Connection, Pool, transaction
from tests.builders import dataset_validated, job_completed
from tests.services.api.conftest import User, in_turn, submission
from tests.services.api.fakes import FakeArtifacts
from tests.services.slices import deliver


async def test_a_data_set_is_renamed_on_both_sides(ada: User, eve: User, pool: Pool, artifacts: FakeArtifacts):
    dataset_id = artifacts.hold_dataset(ada.id)
    await deliver("api", pool, dataset_validated(user_id=ada.id, dataset_id=dataset_id))

    answer = await ada.patch(f"/api/datasets/{dataset_id}", json={"name": " Pier talk "})
    assert (answer.status_code, answer.json()["data"]["name"]) == (200, "Pier talk")
    job = (await ada.post("/api/jobs", json=submission(dataset_id))).json()["data"]
    assert (job["name"], job["dataset"]["name"]) == ("Pier talk", "Pier talk")
    for body in ({}, {"name": ""}, {"name": "a\nb"}, {"name": "x", "status": "ready"}):
        assert (await ada.patch(f"/api/datasets/{dataset_id}", json=body)).status_code == 400
    assert (await eve.patch(f"/api/datasets/{dataset_id}", json={"name": "Mine"})).status_code == 404


async def test_a_data_set_is_deleted_when_no_job_needs_it(ada: User, eve: User, pool: Pool, artifacts: FakeArtifacts):
    dataset_id = artifacts.hold_dataset(ada.id)
    validated = dataset_validated(user_id=ada.id, dataset_id=dataset_id)
    await deliver("api", pool, validated)
    job = (await ada.post("/api/jobs", json=submission(dataset_id))).json()["data"]

    refused = await ada.delete(f"/api/datasets/{dataset_id}")
    assert (refused.status_code, refused.json()["code"]) == (409, "dataset_in_use")
    assert refused.json()["details"] == {"jobs": [job["id"]]}
    assert (await eve.delete(f"/api/datasets/{dataset_id}")).status_code == 404
    await deliver("api", pool, job_completed(job_id=job["id"], user_id=ada.id, outcome=JobStatus.FAILED))
    assert (await ada.delete(f"/api/datasets/{dataset_id}")).status_code == 200
    assert artifacts.datasets == {}
    await deliver("api", pool, validated)
    answer = await ada.post("/api/jobs", json=submission(dataset_id))
    assert (answer.status_code, answer.json()["code"]) == (404, "dataset_not_found"), "late news changes nothing"


async def test_a_deletion_is_repeated_after_an_outage_of_artifacts(
    ada: User, pool: Pool, artifacts: FakeArtifacts, settings: Settings
):
    dataset_id = artifacts.hold_dataset(ada.id)
    await deliver("api", pool, dataset_validated(user_id=ada.id, dataset_id=dataset_id))
    artifacts.unavailable = True
    assert (await ada.delete(f"/api/datasets/{dataset_id}")).status_code == 200
    assert dataset_id in artifacts.datasets
    assert (await ada.post("/api/jobs", json=submission(dataset_id))).status_code == 404

    artifacts.unavailable = False
    await pool.execute("UPDATE deletions SET decided_at = decided_at - $1::interval", timedelta(minutes=1))
    async with open_clients(settings) as clients:
        for _ in range(2):
            assert not await loops.finish_deletions(pool, clients)
    assert artifacts.datasets == {}
    assert await pool.fetchval("SELECT bool_and(done) FROM deletions")


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("removal_first", [False, True])
async def test_a_job_and_the_removal_of_its_data_set_exclude_each_other(
    ada: User, pool: Pool, artifacts: FakeArtifacts, *, held: bool, removal_first: bool
):
    dataset_id = artifacts.hold_dataset(ada.id, status="validating")
    if held:
        inputs = _inputs(artifacts, dataset_id)
        request = translate(CreateJob(model="tiny", training_file=f"file-{dataset_id.hex}"), "tiny", "CPU").request
    else:
        await deliver("api", pool, dataset_validated(user_id=ada.id, dataset_id=dataset_id))
        request = SubmitJob.model_validate(submission(dataset_id)).job_request()
        inputs = await submissions.fetch_inputs(pool, cast("ServiceClient", None), ada.id, request)
    refused: list[type[Exception]] = []

    async def submit(conn: Connection) -> None:
        try:
            claim = IdempotencyClaim(b"one", began_at=utc_now())
            await submissions.record_job(conn, ada.id, request, inputs, claim)
        except DatasetNotFound as error:
            refused.append(type(error))

    async def remove(conn: Connection) -> None:
        try:
            await decide_deletion(conn, ada.id, dataset_id)
        except DatasetInUse as error:
            refused.append(type(error))

    await (in_turn(pool, remove, submit) if removal_first else in_turn(pool, submit, remove))
    assert refused == [DatasetNotFound if removal_first else DatasetInUse]
    assert await pool.fetchval("SELECT count(*) FROM jobs") == (0 if removal_first else 1)


def _inputs(artifacts: FakeArtifacts, dataset_id: UUID) -> Inputs:
    dataset = artifacts.datasets[dataset_id][1]
    return Inputs(Dataset(dataset_id, dataset["name"], dataset["format"], dataset["status"], 0, 0, None))


@pytest.mark.parametrize("removal_first", [False, True])
async def test_a_job_and_the_deletion_of_its_model_exclude_each_other(
    ada: User, pool: Pool, artifacts: FakeArtifacts, settings: Settings, *, removal_first: bool
):
    dataset_id, model_id = artifacts.hold_dataset(ada.id), artifacts.hold_adapter(ada.id)
    await deliver("api", pool, dataset_validated(user_id=ada.id, dataset_id=dataset_id))
    body = submission(dataset_id, hyperparameters={"init_from": str(model_id)})
    request = SubmitJob.model_validate(body).job_request()
    async with open_clients(settings) as clients:
        inputs = await submissions.fetch_inputs(pool, clients.artifacts, ada.id, request)
    refused: list[type[Exception]] = []

    async def submit(conn: Connection) -> None:
        try:
            await submissions.record_job(conn, ada.id, request, inputs, IdempotencyClaim(b"one", began_at=utc_now()))
        except ModelNotFound as error:
            refused.append(type(error))

    async def remove(conn: Connection) -> None:
        try:
            await decide_model_deletion(conn, ada.id, model_id)
        except ModelInUse as error:
            refused.append(type(error))

    await (in_turn(pool, remove, submit) if removal_first else in_turn(pool, submit, remove))
    assert refused == [ModelNotFound if removal_first else ModelInUse]
    assert await pool.fetchval("SELECT count(*) FROM jobs") == (0 if removal_first else 1)


async def test_a_model_that_cannot_be_deleted_yet_may_be_used(ada: User, pool: Pool, artifacts: FakeArtifacts):
    model_id = artifacts.hold_adapter(ada.id)
    artifacts.keeps_models = True
    answer = await ada.delete(f"/api/models/{model_id}")
    assert (answer.status_code, answer.json()["code"]) == (409, "model_not_stored")
    body = submission(artifacts.hold_dataset(ada.id), hyperparameters={"init_from": str(model_id)})
    assert (await ada.post("/api/jobs", json=body)).status_code == 201


async def test_a_models_deletion_is_repeated_after_an_outage_of_artifacts(
    ada: User, pool: Pool, artifacts: FakeArtifacts, settings: Settings
):
    model_id = artifacts.hold_adapter(ada.id)
    async with transaction(pool) as conn:
        await decide_model_deletion(conn, ada.id, model_id)
    await pool.execute("UPDATE deletions SET decided_at = decided_at - $1::interval", timedelta(minutes=1))
    body = submission(artifacts.hold_dataset(ada.id), hyperparameters={"init_from": str(model_id)})
    assert (await ada.post("/api/jobs", json=body)).json()["code"] == "model_not_found"
    async with open_clients(settings) as clients:
        artifacts.fails = True
        assert not await loops.finish_deletions(pool, clients)
        assert await pool.fetchval("SELECT count(*) FROM deletions WHERE NOT done") == 1
        artifacts.fails = False
        assert not await loops.finish_deletions(pool, clients)
    assert artifacts.models == {}
    assert await pool.fetchval("SELECT bool_and(done) FROM deletions")


async def test_two_jobs_can_be_submitted_with_one_data_set_concurrently(
    ada: User, pool: Pool, artifacts: FakeArtifacts
):
    dataset_id = artifacts.hold_dataset(ada.id)
    await deliver("api", pool, dataset_validated(user_id=ada.id, dataset_id=dataset_id))
    request = SubmitJob.model_validate(submission(dataset_id)).job_request()
    inputs = await submissions.fetch_inputs(pool, cast("ServiceClient", None), ada.id, request)
    async with transaction(pool) as first, transaction(pool) as second:
        claim = IdempotencyClaim(b"one", began_at=utc_now())
        for conn in (first, second):
            assert await submissions.record_job(conn, ada.id, request, inputs, claim)


async def test_a_model_is_changed_and_deleted(ada: User, eve: User, artifacts: FakeArtifacts):
    model_id = artifacts.hold_model(ada.id)
    answer = await ada.patch(f"/api/models/{model_id}", json={"name": "Pilot", "version": "2.0.0"})
    assert (answer.json()["data"]["name"], answer.json()["data"]["version"]) == ("Pilot", "2.0.0")
    for body in ({"name": ""}, {"version": "x" * 41}, {"cost": 0}):
        assert (await ada.patch(f"/api/models/{model_id}", json=body)).status_code == 400
    assert (await eve.patch(f"/api/models/{model_id}", json={"name": "Mine"})).status_code == 404
    assert (await eve.delete(f"/api/models/{model_id}")).status_code == 404
    assert (await ada.delete(f"/api/models/{model_id}")).status_code == 200
    assert (await ada.delete(f"/api/models/{new_id()}")).status_code == 404
    assert artifacts.models == {}
