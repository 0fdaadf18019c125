"""Jobs as they go on, what they measured and left, and the models there are: as the `openai` package tells them."""

from datetime import timedelta
from uuid import UUID

import openai
import pytest

from brightrun.api.openai import ids
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import JobError
from brightrun.contracts.values import new_id, utc_now
from brightrun.runtime.database import Pool
from tests.builders import artifact_ready, job_completed, job_paused, job_progress, job_started
from tests.services.api.conftest import User, outbox_topics, submission, validated_dataset
from tests.services.api.fakes import FakeArtifacts, FakeTracker
from tests.services.api.openai.conftest import file_of
from tests.services.slices import deliver

TUNED = {"configuration": {"hyperparameters": {"base_model": "tiny"}}, "created_at": "2026-11-24T12:00:00Z"}


async def test_a_job_runs_and_its_model_is_named(
    client: openai.AsyncOpenAI, ada: User, pool: Pool, artifacts: FakeArtifacts
):
    job = await client.fine_tuning.jobs.create(
        model="tiny", training_file=await file_of(pool, ada), suffix="Harbour Talk!"
    )
    job_id = UUID(hex=job.id.removeprefix("ftjob-"))
    of_job = {"job_id": job_id, "user_id": ada.id}

    await deliver("api", pool, job_started(**of_job))
    assert (await client.fine_tuning.jobs.retrieve(job.id)).status == "queued"
    await deliver("api", pool, job_progress(**of_job, eta_seconds=60.0))
    job = await client.fine_tuning.jobs.retrieve(job.id)
    assert job.status == "running"
    assert job.estimated_finish is not None
    assert 50 <= job.estimated_finish - utc_now().timestamp() <= 61

    await deliver("api", pool, job_completed(**of_job, finished_at=utc_now(), trained_tokens=9_000))
    job = await client.fine_tuning.jobs.retrieve(job.id)
    assert (job.status, job.fine_tuned_model, job.finished_at) == ("running", None, None), "its model is being stored"
    model_id = artifacts.hold_model(ada.id, **TUNED, job_id=str(job_id), status="stored")
    await deliver("api", pool, artifact_ready(**of_job, artifact_id=model_id))
    job = await client.fine_tuning.jobs.retrieve(job.id)
    assert (job.status, job.trained_tokens, len(job.result_files)) == ("succeeded", 9_000, 1)
    assert job.finished_at is not None
    assert job.fine_tuned_model == f"ft:tiny:personal:harbour-talk:{model_id.hex}"
    assert (await client.models.retrieve(job.fine_tuned_model)).id == job.fine_tuned_model


async def test_a_job_whose_model_cannot_be_stored_ends_all_the_same(client: openai.AsyncOpenAI, ada: User, pool: Pool):
    job = await client.fine_tuning.jobs.create(model="tiny", training_file=await file_of(pool, ada))
    of_job = {"job_id": ids.read(ids.JOB, job.id), "user_id": ada.id}
    await deliver("api", pool, job_completed(**of_job, finished_at=utc_now() - timedelta(minutes=20)))
    job = await client.fine_tuning.jobs.retrieve(job.id)
    assert (job.status, job.fine_tuned_model) == ("succeeded", None)


async def test_a_failed_job_has_its_error(client: openai.AsyncOpenAI, ada: User, pool: Pool):
    job = await client.fine_tuning.jobs.create(model="tiny", training_file=await file_of(pool, ada))
    error = JobError(code="out_of_memory", message="The GPU is full.", advice="Halve the batch size.")
    of_job = {"job_id": ids.read(ids.JOB, job.id), "user_id": ada.id}
    await deliver("api", pool, job_completed(**of_job, outcome=JobStatus.FAILED, error=error))
    job = await client.fine_tuning.jobs.retrieve(job.id)
    assert job.error is not None
    assert (job.status, job.error.code, job.error.param) == ("failed", "out_of_memory", None)
    assert job.error.message == "The GPU is full. Halve the batch size."
    assert job.result_files == []


async def test_a_job_is_cancelled_once(client: openai.AsyncOpenAI, ada: User, pool: Pool):
    job = await client.fine_tuning.jobs.create(model="tiny", training_file=await file_of(pool, ada))
    assert (await client.fine_tuning.jobs.cancel(job.id)).id == job.id
    assert await outbox_topics(pool) == ["job.queued", "job.cancel_requested"]
    of_job = {"job_id": ids.read(ids.JOB, job.id), "user_id": ada.id}
    await deliver("api", pool, job_completed(**of_job, outcome=JobStatus.CANCELLED, attempt=0, started_at=None))
    assert (await client.fine_tuning.jobs.retrieve(job.id)).status == "cancelled"
    with pytest.raises(openai.ConflictError) as refused:
        await client.fine_tuning.jobs.cancel(job.id)
    assert (refused.value.code, refused.value.response.headers["x-should-retry"]) == ("job_finished", "false")


async def test_a_job_is_paused_and_resumed_as_openai_s_client_asks(client: openai.AsyncOpenAI, ada: User, pool: Pool):
    jobs = client.fine_tuning.jobs
    job = await jobs.create(model="tiny", training_file=await file_of(pool, ada))
    with pytest.raises(openai.ConflictError) as refused:
        await jobs.resume(job.id)
    assert refused.value.code == "job_not_paused"
    assert (await jobs.pause(job.id)).status == "queued"
    await deliver("api", pool, job_paused(job_id=ids.read(ids.JOB, job.id)))
    assert (await jobs.retrieve(job.id)).status == "paused"
    assert (await jobs.resume(job.id)).status == "queued"
    ended = job_completed(job_id=ids.read(ids.JOB, job.id), attempt=2, outcome=JobStatus.CANCELLED)
    await deliver("api", pool, ended)
    with pytest.raises(openai.ConflictError) as refused:
        await jobs.pause(job.id)
    assert refused.value.code == "job_not_pausable"


async def test_jobs_of_both_dialects_are_listed_and_filtered(client: openai.AsyncOpenAI, ada: User, pool: Pool):
    file_id = await file_of(pool, ada)
    made = [
        await client.fine_tuning.jobs.create(model="tiny", training_file=file_id, metadata=metadata)
        for metadata in ({"run": "1", "team": ""}, {"run": "2"}, {})
    ]
    submitted = await ada.post("/api/jobs", json=submission(await validated_dataset(pool, ada)))
    names = [ids.write(ids.JOB, submitted.json()["data"]["id"]), *(job.id for job in made[::-1])]

    assert [job.id async for job in client.fine_tuning.jobs.list(limit=1)] == names
    assert [job.id async for job in client.fine_tuning.jobs.list(metadata={"run": "1"})] == [made[0].id]
    assert [job.id async for job in client.fine_tuning.jobs.list(metadata={"team": ""})] == [made[0].id]
    assert [job.id async for job in client.fine_tuning.jobs.list(extra_query={"metadata": "null"})] == names[:2]
    page = await client.fine_tuning.jobs.list(limit=2, after=names[1])
    assert ([job.id for job in page.data], page.has_more) == (names[2:], False)
    for wrong in ({"after": "x"}, {"limit": 0}, {"limit": 101}, {"extra_query": {"metadata": "x"}}):
        with pytest.raises(openai.BadRequestError):
            await client.fine_tuning.jobs.list(**wrong)


async def test_events_are_listed_newest_first(client: openai.AsyncOpenAI, ada: User, pool: Pool, tracker: FakeTracker):
    job = await client.fine_tuning.jobs.create(model="tiny", training_file=await file_of(pool, ada))
    measured = {"training_loss": 1.5, "token_accuracy": 0.5, "validation_loss": None, "learning_rate": 1e-4}
    tracker.entries = [
        {
            "id": number,
            "type": "metrics" if number % 2 else "stage_changed",
            "level": "info",
            "message": f"Entry {number}",
            "data": {"step": number, "total_steps": 250, **measured} if number % 2 else {"stage": "training"},
            "occurred_at": "2026-11-24T12:00:00Z",
        }
        for number in range(1, 251)
    ]
    newest = await client.fine_tuning.jobs.list_events(job.id, limit=2)
    assert [event.id for event in newest.data] == ["ftevent-250", "ftevent-249"]
    event = newest.data[1]
    assert (event.object, event.type, event.level) == ("fine_tuning.job.event", "metrics", "info")
    assert (newest.has_more, newest.data[0].type, newest.data[0].data) == (True, "message", {"stage": "training"})
    metrics = {"step": 249, "total_steps": 250, "train_loss": 1.5, "train_mean_token_accuracy": 0.5}
    assert event.data == metrics
    everything = [
        int(event.id.removeprefix("ftevent-")) async for event in client.fine_tuning.jobs.list_events(job.id, limit=100)
    ]
    assert everything == list(range(250, 0, -1))
    with pytest.raises(openai.BadRequestError):
        await client.fine_tuning.jobs.list_events(job.id, after="ftevent-x")


async def test_checkpoints_are_listed_newest_first(
    client: openai.AsyncOpenAI, ada: User, pool: Pool, tracker: FakeTracker
):
    job = await client.fine_tuning.jobs.create(model="tiny", training_file=await file_of(pool, ada), suffix="harbour")
    measured = {"training_loss": 2.0, "token_accuracy": 0.5, "validation_loss": 2.5, "validation_token_accuracy": 0.25}
    tracker.saved = [
        {"id": f"1-{step}", "attempt": 1, "step": step, "saved_at": "2026-11-24T12:00:00Z"} | measured
        for step in range(30, 0, -1)
    ]
    page = await client.fine_tuning.jobs.checkpoints.list(job.id)
    assert ([checkpoint.step_number for checkpoint in page.data], page.has_more) == (list(range(30, 20, -1)), True)
    hex_id = job.id.removeprefix("ftjob-")
    newest = page.data[0]
    assert (newest.id, newest.fine_tuning_job_id) == (f"ftckpt-{hex_id}-1-30", job.id)
    assert newest.fine_tuned_model_checkpoint == f"ft:tiny:personal:harbour:{hex_id}:ckpt-step-30"
    metrics = newest.metrics
    assert (metrics.step, metrics.train_loss, metrics.train_mean_token_accuracy) == (30, 2.0, 0.5)
    assert (metrics.valid_loss, metrics.full_valid_loss, metrics.valid_mean_token_accuracy) == (2.5, 2.5, 0.25)
    steps = [checkpoint.step_number async for checkpoint in client.fine_tuning.jobs.checkpoints.list(job.id, limit=7)]
    assert steps == list(range(30, 0, -1))
    with pytest.raises(openai.BadRequestError):
        await client.fine_tuning.jobs.checkpoints.list(job.id, after=job.id)


async def test_models_are_base_models_and_the_users_own(
    client: openai.AsyncOpenAI, stranger: openai.AsyncOpenAI, ada: User, artifacts: FakeArtifacts
):
    model_id = artifacts.hold_model(ada.id, **TUNED, job_id=str(new_id()), status="stored")
    artifacts.hold_model(ada.id, **TUNED, job_id=str(new_id()), status="pending")
    name = f"ft:tiny:personal::{model_id.hex}"

    models = [model async for model in client.models.list()]
    assert [model.id for model in models] == ["tiny", "gpt-4o-mini", "gpt-4o-mini-2024-07-18", name]
    assert (models[-1].owned_by, models[-1].created) == (ids.write(ids.ORGANIZATION, ada.id), 1_795_521_600)
    assert (await client.models.retrieve("gpt-4o-mini")).object == "model"
    assert [model.id async for model in stranger.models.list()] == [model.id for model in models[:-1]]
    for ask in (stranger.models.retrieve, stranger.models.delete):
        with pytest.raises(openai.NotFoundError) as refused:
            await ask(name)
        assert (refused.value.code, refused.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.PermissionDeniedError):
        await client.models.delete("tiny")
    deleted = await client.models.delete(name)
    assert (deleted.id, deleted.object, deleted.deleted) == (name, "model", True)
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve(name)


async def test_anothers_job_does_not_exist(
    client: openai.AsyncOpenAI, stranger: openai.AsyncOpenAI, ada: User, pool: Pool
):
    file_id = await file_of(pool, ada)
    job = await client.fine_tuning.jobs.create(model="tiny", training_file=file_id)
    jobs = stranger.fine_tuning.jobs
    asks = [jobs.retrieve, jobs.cancel, jobs.pause, jobs.resume, jobs.list_events, jobs.checkpoints.list]
    for ask in asks:
        for name in (job.id, ids.write(ids.JOB, new_id()), "ftjob-x", "x"):
            with pytest.raises(openai.NotFoundError):
                await ask(name)
    with pytest.raises(openai.NotFoundError):
        await jobs.create(model="tiny", training_file=file_id)
    assert [job async for job in jobs.list()] == []
