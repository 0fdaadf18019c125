"""Data sets and models are renamed and deleted; what is deleted leaves the store as well, whoever dies."""

from datetime import timedelta

import pytest
from minio import Minio

from brightrun.artifacts.datasets import actions
from brightrun.artifacts.datasets.models import ReadingOptions
from brightrun.artifacts.keys import DATASETS, MODELS, dataset_key
from brightrun.artifacts.source import StoredObject
from brightrun.artifacts.storage import ObjectStore, StoreUnavailable
from brightrun.contracts.errors import UploadTooSlow
from brightrun.contracts.values import new_id
from brightrun.runtime.database import transaction
from tests.builders import job_completed
from tests.services.artifacts.conftest import Artifacts, Ask
from tests.services.artifacts.fake_cluster import FakeCluster
from tests.services.artifacts.test_datasets import LINE, left_over, upload
from tests.services.artifacts.test_models import deliver, the_model


async def test_a_deleted_data_set_disappears_at_once_and_its_file_is_deleted_later(
    artifacts: Artifacts, ask: Ask, s3: Minio
):
    user = new_id()
    gone, kept = [(await upload(ask, user, LINE * 10)).json()["data"]["id"] for _ in range(2)]
    assert (await ask(user).delete(f"/datasets/{gone}")).status_code == 200

    for path in ("", "/content", "/url", "/errors"):
        assert (await ask(user).get(f"/datasets/{gone}{path}")).status_code == 404
    assert (await ask(user).delete(f"/datasets/{gone}")).status_code == 404
    await artifacts.delete_objects()
    assert left_over(s3, user) == [f"{user}/{kept}/data.jsonl"]


async def test_a_removal_that_the_store_interrupts_is_begun_again(
    artifacts: Artifacts, ask: Ask, s3: Minio, monkeypatch: pytest.MonkeyPatch
):
    user = new_id()
    dataset_id = (await upload(ask, user, LINE * 10)).json()["data"]["id"]
    await ask(user).delete(f"/datasets/{dataset_id}")

    async def fail(*_: object) -> None:
        raise StoreUnavailable

    with monkeypatch.context() as broken:
        broken.setattr(ObjectStore, "remove_all", fail)
        with pytest.raises(StoreUnavailable):
            await artifacts.delete_objects()
    await artifacts.pool.execute("UPDATE discards SET due_at = now()")
    await artifacts.delete_objects()
    assert left_over(s3, user) == []
    assert await artifacts.pool.fetchval("SELECT count(*) FROM discards") == 0


async def test_an_object_whose_writer_died_is_removed_a_day_later(artifacts: Artifacts, ask: Ask, s3: Minio):
    user, dataset_id = new_id(), new_id()
    async with transaction(artifacts.pool) as conn:
        await actions.announce_object(conn, dataset_key(user, dataset_id))
    s3.fput_object(DATASETS, dataset_key(user, dataset_id), __file__)
    await artifacts.delete_objects()
    assert len(left_over(s3, user)) == 1

    await artifacts.pool.execute("UPDATE discards SET due_at = due_at - $1::interval", timedelta(days=1))
    await artifacts.delete_objects()
    assert left_over(s3, user) == []
    late = StoredObject(1, "ab" * 32)
    async with transaction(artifacts.pool) as conn:
        with pytest.raises(UploadTooSlow):
            await actions.record_dataset(conn, dataset_id, user, name="x", options=ReadingOptions(), stored=late)


async def test_a_data_set_is_renamed(artifacts: Artifacts, ask: Ask):
    user = new_id()
    dataset_id = (await upload(ask, user, LINE * 10)).json()["data"]["id"]
    answer = await ask(user).patch(f"/datasets/{dataset_id}", json={"name": "Pier talk"})
    assert answer.json()["data"]["name"] == "Pier talk"
    assert (await ask(user).get(f"/datasets/{dataset_id}")).json()["data"]["name"] == "Pier talk"
    for body in ({}, {"name": ""}, {"name": "a\0"}, {"name": "x", "status": "ready"}):
        assert (await ask(user).patch(f"/datasets/{dataset_id}", json=body)).status_code == 400
    assert (await ask(new_id()).patch(f"/datasets/{dataset_id}", json={"name": "x"})).status_code == 404
    assert (await ask(new_id()).delete(f"/datasets/{dataset_id}")).status_code == 404


async def test_data_sets_come_in_slices_by_age(artifacts: Artifacts, ask: Ask):
    user = new_id()
    for name in ("one", "two", "three", "four"):
        await upload(ask, user, LINE, name=name)

    async def names(**params: object) -> list[dict[str, str]]:
        answer = await ask(user).get("/datasets/slice", params=params)
        return answer.json()["data"]["datasets"]

    newest = await names(limit=2)
    last = newest[-1]
    older = await names(at=last["created_at"], id=last["id"])
    oldest = await names(order="asc", limit=3)
    assert [[dataset["name"] for dataset in part] for part in (newest, older, oldest)] == [
        ["four", "three"],
        ["two", "one"],
        ["one", "two", "three"],
    ]


async def test_a_model_is_renamed_and_deleted(artifacts: Artifacts, ask: Ask, s3: Minio, fake_cluster: FakeCluster):
    user = new_id()
    await deliver(artifacts, job_completed(user_id=user))
    model = await the_model(ask, user)
    pending = await ask(user).delete(f"/models/{model['id']}")
    assert (pending.status_code, pending.json()["code"]) == (409, "model_not_stored")
    fake_cluster.files = {"adapter_config.json": b"{}"}
    assert await artifacts.transfer()

    changed = await ask(user).patch(f"/models/{model['id']}", json={"name": "Pilot", "version": "1.1.0"})
    assert (changed.json()["data"]["name"], changed.json()["data"]["version"]) == ("Pilot", "1.1.0")
    assert (await ask(user).patch(f"/models/{model['id']}", json={"version": "1.2.0"})).json()["data"][
        "name"
    ] == "Pilot"
    assert (await ask(user).patch(f"/models/{model['id']}", json={"status": "failed"})).status_code == 400
    stranger = ask(new_id())
    assert (await stranger.patch(f"/models/{model['id']}", json={"name": "Mine"})).status_code == 404
    assert (await stranger.delete(f"/models/{model['id']}")).status_code == 404

    assert (await ask(user).delete(f"/models/{model['id']}")).status_code == 200
    assert (await ask(user).get(f"/models/{model['id']}")).status_code == 404
    await artifacts.delete_objects()
    assert list(s3.list_objects(MODELS, f"{user}/", recursive=True)) == []
