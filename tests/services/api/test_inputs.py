"""What a job is given beside its data set: another to evaluate on, and a model to start from."""

from typing import Any
from uuid import UUID

import pytest

from brightrun.api.datasets import actions as removals
from brightrun.contracts.events import JobQueued, JobRefused
from brightrun.contracts.values import new_id
from brightrun.runtime.database import Pool, transaction
from tests.builders import dataset_validated, job_completed
from tests.services.api.conftest import User, outbox_topics, submission, validated_dataset
from tests.services.api.fakes import FakeArtifacts
from tests.services.slices import deliver

Json = dict[str, Any]


async def ask(user: User, pool: Pool, dataset_id: UUID | None = None, **hyperparameters: Any) -> Any:
    given = {name: str(value) if isinstance(value, UUID) else value for name, value in hyperparameters.items()}
    dataset_id = dataset_id or await validated_dataset(pool, user)
    return await user.post("/api/jobs", json=submission(dataset_id, hyperparameters=given))


async def submitted(user: User, pool: Pool, dataset_id: UUID | None = None, **hyperparameters: Any) -> Json:
    answer = await ask(user, pool, dataset_id, **hyperparameters)
    assert answer.status_code == 201, answer.text
    job: Json = answer.json()["data"]
    return job


async def queued(pool: Pool) -> JobQueued:
    return JobQueued.model_validate_json(await pool.fetchval("SELECT value FROM outbox ORDER BY id DESC LIMIT 1"))


async def test_a_job_is_queued_with_what_it_evaluates_on(ada: User, pool: Pool):
    held_out = await validated_dataset(pool, ada, name="Held out", training_pairs=30, sha256="cd" * 32)
    job = await submitted(ada, pool, validation_dataset_id=held_out)

    assert job["validation_dataset"] == {"name": "Held out", "format": "openai_chat", "total_training_pairs": 30}
    event = await queued(pool)
    assert event.validation
    assert (event.validation.dataset_id, event.validation.sha256) == (held_out, "cd" * 32)
    assert event.spec.validation_dataset_id == held_out
    assert (await ada.get(f"/api/jobs/{job['id']}")).json()["data"]["job"] == job


async def test_a_job_is_queued_with_the_adapter_it_starts_from(ada: User, pool: Pool, artifacts: FakeArtifacts):
    start = artifacts.hold_adapter(ada.id, rank=64, alpha=32, target_modules=("q_proj",), dropout=0.5)
    job = await submitted(ada, pool, init_from=start)

    assert job["start"] == {"model_id": str(start), "name": "Workshop assistant", "step": None}
    assert job["submitted"] == {"init_from": str(start)}
    event = await queued(pool)
    assert event.start
    assert event.start.artifact_id == start
    assert {file.name for file in event.start.files} == {"adapter_config.json", "adapter_model.safetensors"}
    assert (event.spec.rank, event.spec.alpha, event.spec.target_modules) == (64, 32, ("q_proj",))
    assert (event.spec.dropout, event.spec.batch_size) == (0.05, 8), "the preset's: the adapter has not decided these"


async def test_an_alias_of_the_same_base_model_is_no_other(ada: User, pool: Pool, artifacts: FakeArtifacts):
    start = artifacts.hold_adapter(ada.id)
    job = await submitted(ada, pool, init_from=start, base_model="gpt-4o-mini")
    assert job["hyperparameters"]["base_model"] == "tiny"
    other = await ask(ada, pool, init_from=start, base_model="owner/model")
    assert (other.status_code, other.json()["details"].keys()) == (400, {"hyperparameters.base_model"})


async def test_all_that_does_not_suit_is_named_at_once(ada: User, pool: Pool, artifacts: FakeArtifacts):
    trained = await validated_dataset(pool, ada)
    given = {"init_from": artifacts.hold_adapter(ada.id, rank=64), "rank": 8, "validation_dataset_id": trained}
    answer = await ask(ada, pool, trained, method="dpo", **given)
    assert answer.status_code == 400
    assert answer.json()["details"].keys() == {
        "hyperparameters.rank",
        "hyperparameters.method",
        "hyperparameters.validation_dataset_id",
    }
    assert await outbox_topics(pool) == []


@pytest.mark.parametrize("status", ["pending", "failed"])
async def test_a_model_that_is_not_stored_cannot_be_started_from(
    ada: User, pool: Pool, artifacts: FakeArtifacts, status: str
):
    answer = await ask(ada, pool, init_from=artifacts.hold_adapter(ada.id, status=status))
    assert (answer.status_code, answer.json()["details"].keys()) == (400, {"hyperparameters.init_from"})


async def test_another_users_input_does_not_exist(ada: User, eve: User, pool: Pool, artifacts: FakeArtifacts):
    for theirs in (artifacts.hold_dataset(ada.id), await validated_dataset(pool, ada), new_id()):
        answer = await ask(eve, pool, validation_dataset_id=theirs)
        assert (answer.status_code, answer.json()["code"]) == (404, "dataset_not_found")
        assert answer.json()["details"].keys() == {"hyperparameters.validation_dataset_id"}
    for theirs in (artifacts.hold_adapter(ada.id), new_id()):
        answer = await ask(eve, pool, init_from=theirs)
        assert (answer.status_code, answer.json()["code"]) == (404, "model_not_found")
        assert answer.json()["details"].keys() == {"hyperparameters.init_from"}
    assert await outbox_topics(pool) == []


@pytest.mark.parametrize("status", ["uploaded", "validating", "invalid"])
async def test_a_validation_data_set_must_be_ready(ada: User, pool: Pool, artifacts: FakeArtifacts, status: str):
    held_out = artifacts.hold_dataset(ada.id, status=status, sha256=None)
    answer = await ask(ada, pool, validation_dataset_id=held_out)
    assert (answer.status_code, answer.json()["code"]) == (400, "dataset_not_ready")
    assert answer.json()["details"].keys() == {"hyperparameters.validation_dataset_id"}


async def test_pairs_train_with_dpo(ada: User, pool: Pool):
    pairs = await validated_dataset(pool, ada, format="dpo")
    job = await submitted(ada, pool, pairs, method="dpo", beta=0.3)
    assert (job["hyperparameters"]["method"], job["hyperparameters"]["beta"]) == ("dpo", 0.3)
    refused = await ask(ada, pool, pairs)
    assert refused.json()["details"].keys() == {"hyperparameters.method"}


async def test_a_retry_and_a_clone_have_the_same_inputs(ada: User, pool: Pool, artifacts: FakeArtifacts):
    start, held_out = artifacts.hold_adapter(ada.id, rank=64), await validated_dataset(pool, ada)
    first = await submitted(ada, pool, init_from=start, validation_dataset_id=held_out)
    await deliver("api", pool, job_completed(job_id=UUID(first["id"]), user_id=ada.id, outcome="failed"))
    for path, body in (("retry", None), ("clone", {"hyperparameters": {"epochs": 2}})):
        again = await ada.post(f"/api/jobs/{first['id']}/{path}", json=body)
        assert again.status_code == 201, again.text
        job = again.json()["data"]
        assert (job["start"], job["validation_dataset"]) == (first["start"], first["validation_dataset"])
        assert job["hyperparameters"]["rank"] == 64


async def test_what_a_live_job_needs_is_not_deleted(ada: User, pool: Pool, artifacts: FakeArtifacts):
    start, held_out = artifacts.hold_adapter(ada.id), artifacts.hold_dataset(ada.id)
    job = await submitted(ada, pool, init_from=start, validation_dataset_id=held_out)
    for path, code in ((f"datasets/{held_out}", "dataset_in_use"), (f"models/{start}", "model_in_use")):
        answer = await ada.delete(f"/api/{path}")
        assert (answer.status_code, answer.json()["code"]) == (409, code)
        assert answer.json()["details"] == {"jobs": [job["id"]]}
    await deliver("api", pool, job_completed(job_id=UUID(job["id"]), user_id=ada.id))
    for path in (f"datasets/{held_out}", f"models/{start}"):
        assert (await ada.delete(f"/api/{path}")).status_code == 200


async def test_a_data_set_being_deleted_cannot_be_evaluated_on(ada: User, pool: Pool, artifacts: FakeArtifacts):
    held_out = artifacts.hold_dataset(ada.id)
    async with transaction(pool) as conn:
        await removals.decide_deletion(conn, ada.id, held_out)
    answer = await ask(ada, pool, validation_dataset_id=held_out)
    assert (answer.status_code, answer.json()["code"]) == (404, "dataset_not_found")


UNCHECKED = {"status": "validating", "total_training_pairs": None, "total_tokens": None, "sha256": None}


@pytest.fixture
def held_files(ada: User, artifacts: FakeArtifacts) -> tuple[UUID, UUID]:
    return artifacts.hold_dataset(ada.id, **UNCHECKED), artifacts.hold_dataset(ada.id, **UNCHECKED)


async def create(user: User, training: UUID, validation: UUID, **more: Any) -> Json:
    files = {"training_file": f"file-{training.hex}", "validation_file": f"file-{validation.hex}"}
    answer = await user.post("/v1/fine_tuning/jobs", json={"model": "tiny"} | files | more)
    assert answer.status_code == 200, answer.text
    job: Json = answer.json()
    return job


async def status_of(user: User, job: Json) -> str:
    return str((await user.get(f"/v1/fine_tuning/jobs/{job['id']}")).json()["status"])


@pytest.mark.parametrize("validated_first", ["training", "validation"])
async def test_a_job_waits_for_both_its_files(
    ada: User, pool: Pool, held_files: tuple[UUID, UUID], validated_first: str
):
    job = await create(ada, *held_files)
    first, second = held_files if validated_first == "training" else held_files[::-1]
    await deliver("api", pool, dataset_validated(user_id=ada.id, dataset_id=first))
    assert await status_of(ada, job) == "validating_files"
    assert await outbox_topics(pool) == []
    await deliver("api", pool, dataset_validated(user_id=ada.id, dataset_id=second))
    assert await status_of(ada, job) == "queued"
    event = await queued(pool)
    assert event.validation
    assert (event.dataset.dataset_id, event.validation.dataset_id) == held_files
    assert (event.dataset.training_pairs, event.validation.training_pairs) == (240, 240)


@pytest.mark.parametrize(("bad", "param"), [(0, "training_file"), (1, "validation_file")])
async def test_a_job_fails_with_the_file_that_is_unusable(
    ada: User, pool: Pool, held_files: tuple[UUID, UUID], bad: int, param: str
):
    job = await create(ada, *held_files)
    event = dataset_validated(user_id=ada.id, dataset_id=held_files[bad], status="invalid", error_count=2)
    await deliver("api", pool, event)
    await deliver("api", pool, dataset_validated(user_id=ada.id, dataset_id=held_files[1 - bad]))
    job_view = (await ada.get(f"/v1/fine_tuning/jobs/{job['id']}")).json()
    assert (job_view["status"], job_view["error"]["code"], job_view["error"]["param"]) == (
        "failed",
        f"invalid_{param}",
        param,
    )
    assert await outbox_topics(pool) == ["job.refused"]
    refused = JobRefused.model_validate_json(await pool.fetchval("SELECT value FROM outbox"))
    assert refused.dataset_id == held_files[bad]


async def test_a_job_fails_once_its_file_proves_to_be_of_another_kind(
    ada: User, pool: Pool, held_files: tuple[UUID, UUID]
):
    job = await create(ada, *held_files, method={"type": "dpo"})
    await deliver("api", pool, dataset_validated(user_id=ada.id, dataset_id=held_files[0], format="dpo"))
    assert await status_of(ada, job) == "validating_files"
    await deliver("api", pool, dataset_validated(user_id=ada.id, dataset_id=held_files[1]))
    job_view = (await ada.get(f"/v1/fine_tuning/jobs/{job['id']}")).json()
    assert (job_view["status"], job_view["error"]["code"]) == ("failed", "invalid_validation_file")
    assert "dpo" in job_view["error"]["message"]


async def test_a_file_that_a_held_job_waits_for_is_not_deleted(ada: User, held_files: tuple[UUID, UUID]):
    await create(ada, *held_files)
    for held in held_files:
        assert (await ada.delete(f"/v1/files/file-{held.hex}")).status_code == 409
