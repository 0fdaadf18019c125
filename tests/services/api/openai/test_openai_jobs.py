"""Fine-tuning jobs and models, as the `openai` package drives them."""

from typing import Any

import httpx
import openai
import pytest
from fastapi import FastAPI

from brightrun.api.openai import ids
from brightrun.api.settings import Settings
from brightrun.contracts.events import JobQueued
from brightrun.runtime.database import Pool
from tests.builders import dataset_validated
from tests.services.api.conftest import User, outbox_topics
from tests.services.api.fakes import FakeArtifacts
from tests.services.api.openai.conftest import client_of, file_of
from tests.services.slices import deliver, serve


async def queued(pool: Pool) -> list[JobQueued]:
    rows = await pool.fetch("SELECT value FROM outbox WHERE topic = 'job.queued' ORDER BY id")
    return [JobQueued.model_validate_json(row["value"]) for row in rows]


async def test_a_job_is_created_with_what_auto_means(client: openai.AsyncOpenAI, ada: User, pool: Pool):
    file_id = await file_of(pool, ada)
    job = await client.fine_tuning.jobs.create(model="gpt-4o-mini-2024-07-18", training_file=file_id)

    assert (job.object, job.status, job.model, job.training_file) == (
        "fine_tuning.job",
        "queued",
        "gpt-4o-mini-2024-07-18",
        file_id,
    )
    assert (job.fine_tuned_model, job.finished_at, job.trained_tokens, job.error) == (None, None, None, None)
    assert (job.validation_file, job.result_files, job.metadata, job.integrations) == (None, [], {}, [])
    assert job.organization_id == ids.write(ids.ORGANIZATION, ada.id)
    parameters = job.hyperparameters
    assert (parameters.n_epochs, parameters.batch_size, parameters.learning_rate_multiplier) == (3, 4, 1.0)
    assert job.method is not None
    assert job.method.supervised is not None
    assert (job.method.type, job.method.supervised.hyperparameters.n_epochs) == ("supervised", 3)
    assert await client.fine_tuning.jobs.retrieve(job.id) == job
    (event,) = await queued(pool)
    assert (event.spec.base_model, event.spec.epochs, event.spec.learning_rate) == ("tiny", 3, 1e-4)
    assert (event.spec.batch_size, event.spec.gradient_accumulation, event.gpu.type) == (4, 1, "CPU")


async def test_hyperparameters_are_ours_and_theirs(client: openai.AsyncOpenAI, ada: User, pool: Pool):
    job = await client.fine_tuning.jobs.create(
        model="owner/model-on-the-hub",
        training_file=await file_of(pool, ada),
        suffix="Harbour Talk!",
        seed=7,
        metadata={"run": "seven"},
        method={
            "type": "supervised",
            "supervised": {
                "hyperparameters": {
                    "n_epochs": 50,
                    "batch_size": 256,
                    "learning_rate_multiplier": 0.3,
                    "rank": 64,  # type: ignore[typeddict-unknown-key]
                    "target_modules": ["q_proj", "v_proj"],
                }
            },
        },
        extra_body={
            "gpu_config": {"type": "A100-80GB", "count": 2},
            "max_cost": 12.5,
            "max_duration": 3600,
            "dropout": 0.1,
        },
    )

    assert (job.seed, job.metadata, job.model) == (7, {"run": "seven"}, "owner/model-on-the-hub")
    assert (job.hyperparameters.n_epochs, job.hyperparameters.batch_size) == (50, 256)
    assert job.hyperparameters.learning_rate_multiplier == 0.3
    (event,) = await queued(pool)
    spec = event.spec
    assert (spec.batch_size, spec.gradient_accumulation, spec.learning_rate) == (64, 4, 3e-5)
    assert (spec.rank, spec.target_modules, spec.dropout, spec.max_duration) == (64, ("q_proj", "v_proj"), 0.1, 3600)
    assert (event.gpu.type, event.gpu.count, str(spec.max_cost)) == ("A100-80GB", 2, "12.5000")


async def test_deprecated_hyperparameters_work_as_well(client: openai.AsyncOpenAI, ada: User, pool: Pool):
    job = await client.fine_tuning.jobs.create(
        model="tiny",
        training_file=await file_of(pool, ada),
        hyperparameters={"n_epochs": "auto", "batch_size": 97, "max_steps": 6, "learning_rate": 1e-3},  # type: ignore[typeddict-unknown-key]
    )
    assert (job.hyperparameters.n_epochs, job.hyperparameters.batch_size) == ("auto", 97)
    assert job.hyperparameters.learning_rate_multiplier == 10.0
    (event,) = await queued(pool)
    assert (event.spec.max_steps, event.spec.batch_size, event.spec.gradient_accumulation) == (6, 1, 97)


async def test_configurations_of_other_methods_are_not_looked_at(client: openai.AsyncOpenAI, ada: User, pool: Pool):
    deep: Any = {}
    for _ in range(400):
        deep = {"deeper": deep}
    method: Any = {"type": "supervised", "reinforcement": deep}
    job = await client.fine_tuning.jobs.create(model="tiny", training_file=await file_of(pool, ada), method=method)
    assert job.status == "queued"


async def test_the_operator_names_the_default_gpu(url: str, ada: User, pool: Pool, app: FastAPI, settings: Settings):
    app.state.settings = settings.model_copy(update={"default_gpu": "H100"})
    async with client_of(url, ada) as client:
        await client.fine_tuning.jobs.create(model="tiny", training_file=await file_of(pool, ada))
    (event,) = await queued(pool)
    assert event.gpu.type == "H100"


GOOD: dict[str, Any] = {"model": "tiny", "training_file": "file-" + "0" * 32}


INVALID, UNSUPPORTED = (400, "validation_error"), (400, "unsupported_parameter")
UNTRAINABLE = (400, "untrainable")
NO_MODEL, NO_FILE = (404, "model_not_found"), (404, "file_not_found")


WRONG: list[tuple[dict[str, Any], tuple[int, str], str]] = [
    ({"model": "gpt-9"}, NO_MODEL, "model"),
    ({"model": ""}, INVALID, "model"),
    ({"model": None, "training_file": None}, INVALID, "model training_file"),
    ({"training_file": "file-abc"}, NO_FILE, "training_file"),
    ({"training_file": "file-results-" + "0" * 32}, NO_FILE, "training_file"),
    ({"training_file": "file-" + "1" * 32}, NO_FILE, "training_file"),
    ({"validation_file": "file-x"}, NO_FILE, "validation_file"),
    ({"validation_file": "file-" + "1" * 32}, NO_FILE, "validation_file"),
    ({"validation_file": "file-results-" + "0" * 32}, NO_FILE, "validation_file"),
    ({"model": "ft:tiny:personal::" + "1" * 32}, NO_MODEL, "model"),
    ({"model": "ft:owner/model:personal::" + "1" * 32 + ":ckpt-step-8"}, NO_MODEL, "model"),
    ({"init_from": "1" * 32}, NO_MODEL, "init_from"),
    ({"suffix": ""}, INVALID, "suffix"),
    ({"suffix": "x" * 65, "seed": -1}, INVALID, "suffix seed"),
    ({"suffix": "a\x00b"}, INVALID, "suffix"),
    ({"seed": 2**31}, INVALID, "seed"),
    ({"metadata": {str(n): "" for n in range(17)}}, INVALID, "metadata"),
    ({"metadata": {"k": "x" * 513}}, INVALID, "metadata.k"),
    ({"metadata": {"k" * 65: "x"}}, INVALID, f"metadata.{'k' * 65}.[key]"),
    ({"metadata": {"k": 1}}, INVALID, "metadata.k"),
    ({"integrations": [{"type": "wandb"}]}, UNSUPPORTED, "integrations"),
    ({"method": {"type": "reinforcement", "reinforcement": {}}}, UNSUPPORTED, "method.type"),
    ({"method": {"type": "dpo", "dpo": {}}}, INVALID, "method.type"),
    ({"method": {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0}}}}, INVALID, "method.dpo.hyperparameters.beta"),
    ({"method": {"type": "dpo", "dpo": {"hyperparameters": {"beta": 3}}}}, INVALID, "method.dpo.hyperparameters.beta"),
    ({"hyperparameters": {"beta": 0.1}}, INVALID, "hyperparameters.beta"),
    (
        {"hyperparameters": {}, "method": {"type": "dpo", "dpo": {"hyperparameters": {}}}},
        INVALID,
        "hyperparameters",
    ),
    ({"method": {"type": "magic"}}, INVALID, "method.type"),
    ({"method": {}}, INVALID, "method.type"),
    ({"hyperparameters": {"n_epochs": 51}}, INVALID, "hyperparameters.n_epochs"),
    ({"hyperparameters": {"n_epochs": 0}}, INVALID, "hyperparameters.n_epochs"),
    ({"hyperparameters": {"n_epochs": True}}, INVALID, "hyperparameters.n_epochs"),
    ({"hyperparameters": {"batch_size": 257}}, INVALID, "hyperparameters.batch_size"),
    ({"hyperparameters": {"batch_size": "many"}}, INVALID, "hyperparameters.batch_size"),
    (
        {"hyperparameters": {"learning_rate_multiplier": 0, "n_epochs": 1.5}},
        INVALID,
        "hyperparameters.learning_rate_multiplier hyperparameters.n_epochs",
    ),
    (
        {"hyperparameters": {"learning_rate_multiplier": 11, "rank": 1, "color": "red"}, "epochs": 3, "alpha": "x"},
        INVALID,
        "hyperparameters.learning_rate_multiplier hyperparameters.rank hyperparameters.color epochs alpha",
    ),
    ({"hyperparameters": {"rank": 8}, "rank": 8}, INVALID, "rank"),
    ({"hyperparameters": {"n_epochs": 2, "max_steps": 10}}, INVALID, "hyperparameters.n_epochs"),
    (
        {"hyperparameters": {"learning_rate_multiplier": 2, "learning_rate": 1e-4}},
        INVALID,
        "hyperparameters.learning_rate_multiplier",
    ),
    (
        {"hyperparameters": {}, "method": {"type": "supervised", "supervised": {"hyperparameters": {}}}},
        INVALID,
        "hyperparameters",
    ),
    ({"quantization": "nf4"}, UNTRAINABLE, "quantization"),
    ({"warmup_ratio": 0.1, "warmup_steps": 5}, INVALID, "hyperparameters"),
    ({"gpu_config": {"type": "abacus"}}, INVALID, "gpu_config.type"),
    ({"gpu_config": {"type": "CPU", "count": 9}}, INVALID, "gpu_config.count"),
    ({"max_cost": -1}, INVALID, "max_cost"),
    ({"status": "succeeded"}, INVALID, "status"),
]
"""What is changed of a good request, its refusal, and the fields that this names."""


async def test_of_a_job_that_is_refused_nothing_is_kept(url: str, ada: User, pool: Pool, subtests: pytest.Subtests):
    good = GOOD | {"training_file": await file_of(pool, ada)}
    headers = {"authorization": f"Bearer {ada.account['token']}"}
    async with httpx.AsyncClient(headers=headers) as http:
        for changes, refusal, params in WRONG:
            with subtests.test(changes=changes):
                answer = await http.post(f"{url}/fine_tuning/jobs", json=good | changes)
                error = answer.json()["error"]
                assert (answer.status_code, error["code"]) == refusal, answer.text
                assert error["type"] == "invalid_request_error"
                assert error["param"] in params.split()
                assert all(f"{param}: " in error["message"] for param in params.split()), error["message"]
    assert await pool.fetchval("SELECT count(*) FROM jobs") == 0
    assert await outbox_topics(pool) == []


async def test_a_job_on_an_invalid_file_fails_with_its_error(client: openai.AsyncOpenAI, ada: User, pool: Pool):
    file_id = await file_of(pool, ada, status="invalid", error_count=3)
    with pytest.raises(openai.BadRequestError) as refused:
        await client.fine_tuning.jobs.create(model="tiny", training_file=file_id)
    assert (refused.value.code, refused.value.param) == ("dataset_not_ready", "training_file")


async def test_a_job_waits_for_its_file_to_be_validated(
    client: openai.AsyncOpenAI, ada: User, pool: Pool, artifacts: FakeArtifacts
):
    good, bad = (artifacts.hold_dataset(ada.id, status="validating") for _ in range(2))
    jobs = [
        await client.fine_tuning.jobs.create(
            model="tiny", training_file=ids.write(ids.FILE, dataset_id), suffix=str(number)
        )
        for number, dataset_id in enumerate((good, bad))
    ]
    assert [job.status for job in jobs] == ["validating_files"] * 2
    assert await outbox_topics(pool) == []
    with pytest.raises(openai.ConflictError):
        await client.files.delete(jobs[0].training_file)

    await deliver("api", pool, dataset_validated(user_id=ada.id, dataset_id=good))
    await deliver("api", pool, dataset_validated(user_id=ada.id, dataset_id=bad, status="invalid", error_count=2))
    assert (await client.fine_tuning.jobs.retrieve(jobs[0].id)).status == "queued"
    failed = await client.fine_tuning.jobs.retrieve(jobs[1].id)
    assert failed.error is not None
    assert (failed.status, failed.error.code, failed.error.param) == (
        "failed",
        "invalid_training_file",
        "training_file",
    )
    assert await outbox_topics(pool) == ["job.queued", "job.refused"]


async def test_a_repeated_request_gets_the_job_that_it_made(url: str, ada: User, pool: Pool):
    body = GOOD | {"training_file": await file_of(pool, ada)}
    headers = {"authorization": f"Bearer {ada.account['token']}"}

    async def create(**more: str) -> httpx.Response:
        async with httpx.AsyncClient(headers=headers | more) as http:
            return await http.post(f"{url}/fine_tuning/jobs", json=body)

    first = await create(**{"x-stainless-retry-count": "0"})
    again = await create(**{"x-stainless-retry-count": "1"})
    another = await create(**{"x-stainless-retry-count": "0"})
    assert first.json()["id"] == again.json()["id"] != another.json()["id"]
    keyed = [(await create(**{"idempotency-key": "one"})).json()["id"] for _ in range(2)]
    assert len({*keyed, first.json()["id"]}) == 2
    body["seed"] = 3
    other = await create(**{"idempotency-key": "one"})
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reused")


async def test_the_package_itself_repeats_into_the_same_job(url: str, ada: User, pool: Pool, app: FastAPI):
    """The answer to its first request is lost on the way."""
    lost: list[Any] = []

    async def losing(scope: Any, receive: Any, send: Any) -> None:
        async def lose(message: Any) -> None:
            if message["type"] == "http.response.start" and not lost:
                lost.append(message)
                message = message | {"status": 503}
            await send(message)

        await app(scope, receive, lose if scope["path"].endswith("/jobs") else send)

    async with serve(losing) as address, client_of(f"{address}/v1", ada, retries=2) as client:
        job = await client.fine_tuning.jobs.create(model="tiny", training_file=await file_of(pool, ada))
    assert lost
    assert [ids.write(ids.JOB, row["id"]) for row in await pool.fetch("SELECT id FROM jobs")] == [job.id]
