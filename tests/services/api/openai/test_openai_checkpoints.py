"""A job starts from a checkpoint by the name that the list of checkpoints gives."""

import asyncio
from typing import Any

import openai
import pytest
from openai.types.fine_tuning import FineTuningJob as Job

from brightrun.api.checkpoints import actions
from brightrun.api.errors import CheckpointPending
from brightrun.api.openai import ids
from brightrun.contracts.errors import CheckpointsUnsupported, ClusterUnavailable, ServiceError
from brightrun.contracts.values import new_id, utc_now
from brightrun.runtime.database import Pool
from tests.builders import artifact_ready, job_completed, job_started
from tests.services.api.conftest import User
from tests.services.api.fakes import FakeArtifacts, FakeTracker
from tests.services.api.openai.conftest import client_of, file_of
from tests.services.api.test_checkpoints import DAY, saved
from tests.services.slices import deliver
from tests.waiting import eventually


@pytest.fixture
async def job(client: openai.AsyncOpenAI, ada: User, pool: Pool, artifacts: FakeArtifacts, tracker: FakeTracker) -> Job:
    """Two attempts saved step 20."""
    job = await client.fine_tuning.jobs.create(model="tiny", training_file=await file_of(pool, ada), suffix="harbour")
    job_id = ids.read(ids.JOB, job.id)
    for attempt in (1, 2):
        started = job_started(job_id=job_id, user_id=ada.id, attempt=attempt, external_job_id=f"run-{attempt}")
        await deliver("api", pool, started)
    tracker.saved = [saved(2, 30), saved(2, 20), saved(1, 20)]
    artifacts.on_clusters = {"run-1": {20: utc_now() + DAY}, "run-2": {20: utc_now() + DAY, 30: None}}
    return job


async def create(client: openai.AsyncOpenAI, ada: User, pool: Pool, model: str, **fields: Any) -> Job:
    return await client.fine_tuning.jobs.create(model=model, training_file=await file_of(pool, ada), **fields)


async def names(client: openai.AsyncOpenAI, job: Job) -> list[str]:
    page = await client.fine_tuning.jobs.checkpoints.list(job.id)
    return [checkpoint.fine_tuned_model_checkpoint for checkpoint in page.data]


async def test_the_list_tells_how_long_each_checkpoint_can_be_had(
    client: openai.AsyncOpenAI, job: Job, artifacts: FakeArtifacts
):
    artifacts.on_clusters["run-1"] = {}
    page = await client.fine_tuning.jobs.checkpoints.list(job.id)
    assert [checkpoint.model_extra["available"] for checkpoint in page.data] == [True, True, False]
    expiries = [checkpoint.model_extra["expires_at"] for checkpoint in page.data]
    until = artifacts.on_clusters["run-2"][20]
    assert until
    assert expiries == [None, int(until.timestamp()), None]


async def test_a_job_starts_from_the_newest_checkpoint_of_a_step(
    client: openai.AsyncOpenAI, ada: User, pool: Pool, job: Job, artifacts: FakeArtifacts
):
    _, name, _ = await names(client, job)
    child = await create(client, ada, pool, name)
    assert (child.model, child.status) == (name, "queued")
    (copy,) = artifacts.copies
    assert (copy.attempt, copy.step, copy.external_job_id) == (2, 20, "run-2")
    assert (await client.fine_tuning.jobs.retrieve(child.id)).model == name

    job_id, model_id = ids.read(ids.JOB, job.id), new_id()
    whose = {"job_id": job_id, "user_id": ada.id}
    await deliver("api", pool, job_completed(**whose), artifact_ready(**whose, artifact_id=model_id))
    (named, *_) = await names(client, job)
    assert named == f"ft:tiny:personal:harbour:{model_id.hex}:ckpt-step-30"
    assert (await create(client, ada, pool, named)).model == named
    assert (await create(client, ada, pool, name, seed=7)).hyperparameters, "its first name is good as well"
    assert len(artifacts.copies) == 2


async def test_a_checkpoint_is_a_model_that_can_be_read_and_not_deleted(
    client: openai.AsyncOpenAI, stranger: openai.AsyncOpenAI, ada: User, job: Job
):
    (name, *_) = await names(client, job)
    model = await client.models.retrieve(name)
    assert (model.id, model.owned_by, model.created) == (name, ids.write(ids.ORGANIZATION, ada.id), 1_795_521_600)
    with pytest.raises(openai.BadRequestError) as refused:
        await client.models.delete(name)
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "model")
    for asking, model_name in ((stranger, name), (client, name.replace("step-30", "step-40"))):
        for ask in (asking.models.retrieve, asking.models.delete):
            with pytest.raises(openai.NotFoundError):
                await ask(model_name)


async def test_a_checkpoint_that_does_not_exist_is_no_model(
    *, client: openai.AsyncOpenAI, stranger: openai.AsyncOpenAI, ada: User, eve: User, pool: Pool, job: Job
):
    (name, *_) = await names(client, job)
    cases = [
        (client, ada, name.replace("step-30", "step-40")),
        (client, ada, name.replace(job.id.removeprefix("ftjob-"), new_id().hex)),
        (client, ada, f"{name}0000000000000000"),
        (client, ada, name.removesuffix("30")),
        (stranger, eve, name),
    ]
    for asking, user, model in cases:
        with pytest.raises(openai.NotFoundError) as refused:
            await create(asking, user, pool, model)
        assert (refused.value.code, refused.value.param) == ("model_not_found", "model"), model


@pytest.mark.parametrize("case", ["gone", "unsupported", "away", "pending"])
async def test_the_reason_why_a_checkpoint_cannot_be_had_names_the_model(
    *,
    client: openai.AsyncOpenAI,
    ada: User,
    pool: Pool,
    job: Job,
    artifacts: FakeArtifacts,
    monkeypatch: pytest.MonkeyPatch,
    case: str,
):
    monkeypatch.setattr(actions, "WAIT_SECONDS", 0)
    errors: dict[str, ServiceError] = {"unsupported": CheckpointsUnsupported(), "away": ClusterUnavailable()}
    artifacts.copy_error, artifacts.copy_status = errors.get(case), case
    if case == "gone":
        artifacts.on_clusters = {}
    (name, *_) = await names(client, job)
    with pytest.raises(openai.APIStatusError) as refused:
        await create(client, ada, pool, name)
    codes = {
        "gone": (410, "checkpoint_gone"),
        "unsupported": (409, "checkpoints_unsupported"),
        "away": (502, "cluster_unavailable"),
        "pending": (409, "checkpoint_pending"),
    }
    assert (refused.value.status_code, refused.value.code) == codes[case]
    assert refused.value.param == "model"
    assert await pool.fetchval("SELECT count(*) FROM jobs") == 1


async def test_the_package_repeats_the_request_until_the_copy_is_stored(
    *,
    url: str,
    client: openai.AsyncOpenAI,
    ada: User,
    pool: Pool,
    job: Job,
    artifacts: FakeArtifacts,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(actions, "WAIT_SECONDS", 0)
    monkeypatch.setattr(CheckpointPending, "headers", {"Retry-After": "0.1"})
    artifacts.copy_status = "pending"
    (name, *_) = await names(client, job)
    async with client_of(url, ada, retries=5) as patient:
        created = asyncio.create_task(create(patient, ada, pool, name))

        async def requested() -> bool:
            return len(artifacts.copies) == 1

        await eventually(requested)
        (model_id,) = artifacts.models
        artifacts.model_fields[model_id]["status"] = "stored"
        assert (await created).model == name
    assert len(artifacts.copies) == 1
