"""A validation file, preferences, and a fine-tuned model to go on with, as the `openai` package asks for them."""

import openai
import pytest
from openai.types.fine_tuning.job_create_params import Method

from brightrun.api.openai import ids
from brightrun.runtime.database import Pool
from tests.services.api.conftest import User
from tests.services.api.fakes import FakeArtifacts
from tests.services.api.openai.conftest import file_of
from tests.services.api.openai.test_openai_jobs import queued


async def test_a_job_has_a_validation_file(client: openai.AsyncOpenAI, ada: User, pool: Pool):
    training, validation = await file_of(pool, ada), await file_of(pool, ada)
    job = await client.fine_tuning.jobs.create(model="tiny", training_file=training, validation_file=validation)
    assert (job.training_file, job.validation_file) == (training, validation)
    (event,) = await queued(pool)
    assert event.validation
    assert ids.write(ids.FILE, event.validation.dataset_id) == validation


async def test_a_job_learns_preferences(client: openai.AsyncOpenAI, ada: User, pool: Pool):
    job = await client.fine_tuning.jobs.create(
        model="tiny",
        training_file=await file_of(pool, ada, format="dpo"),
        method={"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.25, "n_epochs": 2, "batch_size": "auto"}}},
    )
    assert job.method
    assert job.method.dpo
    assert job.method.dpo.hyperparameters
    assert (job.method.type, job.method.supervised) == ("dpo", None)
    parameters = job.method.dpo.hyperparameters
    assert (parameters.beta, parameters.n_epochs, parameters.batch_size) == (0.25, 2, 4)
    (event,) = await queued(pool)
    assert (event.spec.method, event.spec.beta, event.spec.epochs) == ("dpo", 0.25, 2)


async def test_an_automatic_beta_is_the_usual_one(client: openai.AsyncOpenAI, ada: User, pool: Pool):
    file_id = await file_of(pool, ada, format="dpo")
    method: Method = {
        "type": "dpo",
        "dpo": {"hyperparameters": {"beta": "auto"}},
    }
    job = await client.fine_tuning.jobs.create(model="tiny", training_file=file_id, method=method)
    assert job.method
    assert job.method.dpo
    assert job.method.dpo.hyperparameters
    assert job.method.dpo.hyperparameters.beta == 0.1


@pytest.mark.parametrize("method", [{"type": "supervised"}, {"type": "dpo"}])
async def test_a_file_of_the_other_kind_is_refused(client: openai.AsyncOpenAI, ada: User, pool: Pool, method: Method):
    file_id = await file_of(pool, ada, format="openai_chat" if method["type"] == "dpo" else "dpo")
    with pytest.raises(openai.BadRequestError) as refused:
        await client.fine_tuning.jobs.create(model="tiny", training_file=file_id, method=method)
    assert refused.value.param == "method.type"


async def test_training_continues_a_fine_tuned_model(
    client: openai.AsyncOpenAI, ada: User, pool: Pool, artifacts: FakeArtifacts
):
    start = artifacts.hold_adapter(ada.id, rank=64, base_model="owner/model")
    name = ids.name_model("owner/model", None, start)
    job = await client.fine_tuning.jobs.create(model=name, training_file=await file_of(pool, ada))
    assert job.model == name
    (event,) = await queued(pool)
    assert event.start
    assert event.start.artifact_id == start
    assert (event.spec.base_model, event.spec.rank, event.spec.epochs) == ("owner/model", 64, 3)


async def test_what_does_not_suit_the_model_is_named_in_the_requests_words(
    client: openai.AsyncOpenAI, ada: User, pool: Pool, artifacts: FakeArtifacts
):
    file_id = await file_of(pool, ada)
    start = artifacts.hold_adapter(ada.id, rank=64)
    name = ids.name_model("tiny", None, start)
    for extra, param in (({"rank": 8}, "rank"), ({"init_from": str(start)}, "init_from")):
        with pytest.raises(openai.BadRequestError) as refused:
            await client.fine_tuning.jobs.create(model=name, training_file=file_id, extra_body=extra)
        assert refused.value.param == param
    pending = ids.name_model("tiny", None, artifacts.hold_adapter(ada.id, status="pending"))
    with pytest.raises(openai.BadRequestError) as refused:
        await client.fine_tuning.jobs.create(model=pending, training_file=file_id)
    assert refused.value.param == "model"


async def test_another_users_model_does_not_exist(
    stranger: openai.AsyncOpenAI, ada: User, eve: User, pool: Pool, artifacts: FakeArtifacts
):
    name = ids.name_model("tiny", None, artifacts.hold_adapter(ada.id))
    with pytest.raises(openai.NotFoundError) as refused:
        await stranger.fine_tuning.jobs.create(model=name, training_file=await file_of(pool, eve))
    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")


async def test_a_model_that_a_job_starts_from_is_not_deleted(
    client: openai.AsyncOpenAI, ada: User, pool: Pool, artifacts: FakeArtifacts
):
    name = ids.name_model("tiny", None, artifacts.hold_adapter(ada.id))
    await client.fine_tuning.jobs.create(model=name, training_file=await file_of(pool, ada))
    with pytest.raises(openai.ConflictError) as refused:
        await client.models.delete(name)
    assert refused.value.code == "model_in_use"


async def test_an_invalid_validation_file_is_named(client: openai.AsyncOpenAI, ada: User, pool: Pool):
    bad = await file_of(pool, ada, status="invalid", error_count=3)
    with pytest.raises(openai.BadRequestError) as refused:
        await client.fine_tuning.jobs.create(model="tiny", training_file=await file_of(pool, ada), validation_file=bad)
    assert (refused.value.code, refused.value.param) == ("dataset_not_ready", "validation_file")
