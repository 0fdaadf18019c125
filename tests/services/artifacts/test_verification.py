"""A stored file that is not what was stored is noticed, and not delivered as good."""

import io
from datetime import timedelta
from uuid import UUID

import pytest
from minio import Minio

from brightrun.artifacts import subscribers
from brightrun.artifacts.keys import MODELS, model_key
from brightrun.artifacts.leases import LEASE
from brightrun.artifacts.storage import ObjectStore, StoreUnavailable
from brightrun.artifacts.verification import queries
from brightrun.artifacts.verification.loops import verify_next
from brightrun.contracts.values import new_id
from brightrun.runtime.database import transaction
from tests.builders import job_completed
from tests.services.artifacts.conftest import Artifacts, Ask

ADAPTER = "adapter_model.safetensors"
NOW, LATER = timedelta(), timedelta(hours=1)


@pytest.fixture
async def model(artifacts: Artifacts) -> tuple[UUID, UUID]:
    """A stored model: its user and its id."""
    job = job_completed(user_id=new_id())
    async with transaction(artifacts.pool) as conn:
        await subscribers.on_job_completed.handle([job], conn)
    await artifacts.transfer()
    return job.user_id, await artifacts.pool.fetchval("SELECT id FROM models WHERE job_id = $1", job.job_id)


async def test_a_model_is_verified_once_in_a_period(artifacts: Artifacts, model: tuple[UUID, UUID]) -> None:
    assert not await verify_next(artifacts.pool, artifacts.store, LATER), "its transfer has just verified it"
    assert await verify_next(artifacts.pool, artifacts.store, NOW)
    assert not await verify_next(artifacts.pool, artifacts.store, LATER)
    assert await artifacts.pool.fetchval("SELECT status FROM models") == "stored"


@pytest.mark.parametrize(
    "damage",
    [
        ("replace", f"{ADAPTER} is not the file that was stored (its SHA-256 differs)"),
        ("cut", f"{ADAPTER} is not the file that was stored (its SHA-256 differs)"),
        ("remove", f"{ADAPTER} is missing from the store"),
    ],
)
async def test_a_damaged_model_is_not_delivered_until_it_is_restored(
    artifacts: Artifacts, ask: Ask, s3: Minio, model: tuple[UUID, UUID], damage: tuple[str, str]
) -> None:
    (user, model_id), (change, problem) = model, damage
    key = model_key(user, model_id, ADAPTER)
    content = s3.get_object(MODELS, key).read()
    if change == "remove":
        s3.remove_object(MODELS, key)
    else:
        _put(s3, key, content[:-1] if change == "cut" else bytes(len(content)))
    assert await verify_next(artifacts.pool, artifacts.store, NOW)

    detail = (await ask(user).get(f"/models/{model_id}")).json()["data"]
    assert (detail["status"], detail["problem"]) == ("damaged", problem)
    for refused in (
        await ask(user).post(f"/models/{model_id}/download", json={}),
        await ask(user).get(f"/models/{model_id}/adapter"),
    ):
        assert (refused.status_code, refused.json()["code"]) == (409, "model_not_stored")
        assert refused.json()["details"] == {"status": "damaged", "problem": problem}

    _put(s3, key, content)
    assert await verify_next(artifacts.pool, artifacts.store, NOW)
    assert (await ask(user).get(f"/models/{model_id}")).json()["data"]["problem"] is None
    assert (await ask(user).post(f"/models/{model_id}/download", json={})).status_code == 200


async def test_a_damaged_model_can_be_deleted(
    artifacts: Artifacts, ask: Ask, s3: Minio, model: tuple[UUID, UUID]
) -> None:
    user, model_id = model
    s3.remove_object(MODELS, model_key(user, model_id, ADAPTER))
    assert await verify_next(artifacts.pool, artifacts.store, NOW)
    assert (await ask(user).delete(f"/models/{model_id}")).status_code == 200
    assert not await verify_next(artifacts.pool, artifacts.store, NOW)


async def test_a_store_that_does_not_answer_gives_no_verdict(artifacts: Artifacts, model: tuple[UUID, UUID]) -> None:
    away = ObjectStore(artifacts.settings.model_copy(update={"s3_endpoint": "http://127.0.0.1:9"}))
    with pytest.raises(StoreUnavailable):
        await verify_next(artifacts.pool, away, NOW)
    away.close()
    assert await artifacts.pool.fetchval("SELECT status FROM models") == "stored"
    assert not await verify_next(artifacts.pool, artifacts.store, NOW), "it waits before the next try"
    await artifacts.pool.execute("UPDATE models SET leased_until = now()")
    assert await verify_next(artifacts.pool, artifacts.store, NOW)


async def test_a_verification_that_lost_its_lease_changes_nothing(
    artifacts: Artifacts, model: tuple[UUID, UUID]
) -> None:
    async with transaction(artifacts.pool) as conn:
        first = await queries.lease_model(conn, NOW, LEASE)
        assert first
        assert await queries.lease_model(conn, NOW, LEASE) is None, "one process verifies it"
    await artifacts.pool.execute("UPDATE models SET leased_until = now()")
    assert await verify_next(artifacts.pool, artifacts.store, NOW)
    async with transaction(artifacts.pool) as conn:
        assert not await queries.save_verdict(conn, first.lease, "late")
    assert await artifacts.pool.fetchval("SELECT status FROM models") == "stored"


def _put(s3: Minio, key: str, content: bytes) -> None:
    s3.put_object(MODELS, key, io.BytesIO(content), len(content))
