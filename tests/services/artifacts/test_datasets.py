"""Data sets come in whole or not at all, and are checked once."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest
from minio import Minio

from brightrun.artifacts.datasets import actions
from brightrun.artifacts.datasets import queries as datasets
from brightrun.artifacts.datasets.models import ReadingOptions
from brightrun.artifacts.datasets.rules.validation import Validation
from brightrun.artifacts.keys import DATASETS
from brightrun.artifacts.storage import ObjectStore, StoreUnavailable
from brightrun.contracts.events import DatasetValidated
from brightrun.contracts.values import new_id
from brightrun.datasets.examples import FORMATS
from brightrun.runtime.database import transaction
from tests.services.artifacts.conftest import Artifacts, Ask
from tests.waiting import eventually

EXAMPLE = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ahoy"}]}
LINE = json.dumps(EXAMPLE).encode() + b"\n"
MIB = 1024 * 1024


async def endless(size: int, failing: bool = False) -> AsyncIterator[bytes]:
    piece = LINE * 1000
    for _ in range(size // len(piece) + 1):
        yield piece
    if failing:
        raise ConnectionResetError("the sender is gone")


def left_over(s3: Minio, user_id: object) -> list[str]:
    """Objects and unfinished uploads of a user."""
    objects = [item.object_name or "" for item in s3.list_objects(DATASETS, f"{user_id}/", recursive=True)]
    uploads = s3._list_multipart_uploads(DATASETS, prefix=f"{user_id}/").uploads
    return objects + [upload.object_name for upload in uploads]


async def upload(ask: Ask, user_id, content: bytes | AsyncIterator[bytes], **params: str) -> httpx.Response:
    return await ask(user_id).post("/datasets", params={"name": "Harbour talk"} | params, content=content)


async def test_an_uploaded_data_set_is_stored_checked_and_announced(artifacts: Artifacts, ask: Ask):
    user, content = new_id(), LINE * 12
    answer = await upload(ask, user, content)
    assert answer.status_code == 201
    dataset = answer.json()["data"]
    assert (dataset["status"], dataset["training_ready"]) == ("uploaded", False)
    assert dataset["size_bytes"] == len(content)
    assert dataset["sha256"] == hashlib.sha256(content).hexdigest()
    assert await artifacts.validate()
    assert not await artifacts.validate()
    dataset = (await ask(user).get(f"/datasets/{dataset['id']}")).json()["data"]
    assert (dataset["status"], dataset["training_ready"]) == ("ready", True)
    assert (dataset["total_training_pairs"], dataset["duplicates"], dataset["tokens_estimated"]) == (12, 11, True)
    (published,) = await artifacts.events("dataset.validated")
    event = DatasetValidated.model_validate_json(published)
    assert (str(event.dataset_id), event.user_id, event.status) == (dataset["id"], user, "ready")
    assert (event.sha256, event.training_pairs, event.tokens) == (dataset["sha256"], 12, dataset["total_tokens"])


async def test_a_large_upload_in_many_parts_keeps_every_byte(artifacts: Artifacts, ask: Ask):
    user, digest, size = new_id(), hashlib.sha256(), 0
    async for piece in endless(20 * MIB):
        digest.update(piece)
        size += len(piece)
    dataset = (await upload(ask, user, endless(20 * MIB))).json()["data"]
    assert (dataset["size_bytes"], dataset["sha256"]) == (size, digest.hexdigest())
    url = (await ask(user).get(f"/datasets/{dataset['id']}/url")).json()["data"]["url"]
    async with httpx.AsyncClient(timeout=60) as anyone:
        assert hashlib.sha256((await anyone.get(url)).content).hexdigest() == digest.hexdigest()


async def test_every_error_is_reported_with_its_line(artifacts: Artifacts, ask: Ask):
    user = new_id()
    broken = [b"{", b"", json.dumps({"messages": [{"role": "human", "content": "\0"}]}).encode()]
    dataset = (await upload(ask, user, LINE * 10 + b"\n".join(broken))).json()["data"]
    await artifacts.validate()
    dataset = (await ask(user).get(f"/datasets/{dataset['id']}")).json()["data"]
    counts = {
        "invalid_json": 1,
        "unrecognized_role": 1,
        "example_missing_assistant_message": 1,
    }
    assert (dataset["status"], dataset["error_count"], dataset["errors_by_code"]) == ("invalid", 3, counts)
    pages = [
        (await ask(user).get(f"/datasets/{dataset['id']}/errors", params={"page": page, "limit": 2})).json()["data"]
        for page in (1, 2)
    ]
    assert pages[0]["pagination"] == {"page": 1, "limit": 2, "total": 3, "totalPages": 2}
    assert [(error["line"], error["path"], error["code"]) for page in pages for error in page["errors"]] == [
        (11, "$", "invalid_json"),
        (13, "$.messages[0].role", "unrecognized_role"),
        (13, "$.messages", "example_missing_assistant_message"),
    ]
    of_one_code = await ask(user).get(f"/datasets/{dataset['id']}/errors", params={"code": "invalid_json"})
    assert [error["line"] for error in of_one_code.json()["data"]["errors"]] == [11]
    assert of_one_code.json()["data"]["pagination"]["total"] == 1
    warnings = (await ask(user).get(f"/datasets/{dataset['id']}/warnings", params={"limit": 2})).json()["data"]
    assert [(warning["line"], warning["code"]) for warning in warnings["warnings"]] == [
        (0, "blank_lines"),
        (2, "duplicate_example"),
    ]
    assert warnings["warnings_by_code"] == {"blank_lines": 1, "duplicate_example": 9}
    assert warnings["pagination"]["total"] == 10
    (published,) = await artifacts.events("dataset.validated")
    assert DatasetValidated.model_validate_json(published).status == "invalid"


async def test_an_aborted_upload_leaves_nothing(artifacts: Artifacts, ask: Ask, s3: Minio):
    user = new_id()
    with pytest.raises(ConnectionResetError):
        await upload(ask, user, endless(12 * MIB, failing=True))

    async def nothing_left() -> bool:
        return not await asyncio.to_thread(left_over, s3, user)

    await eventually(nothing_left)
    assert (await ask(user).get("/datasets")).json()["data"]["datasets"] == []


async def test_an_upload_over_the_cap_is_refused_while_it_comes(artifacts: Artifacts, ask: Ask, s3: Minio):
    artifacts.limit(dataset_bytes=6 * MIB)
    user = new_id()
    answer = await upload(ask, user, endless(12 * MIB))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert left_over(s3, user) == []
    assert await artifacts.pool.fetchval("SELECT count(*) FROM datasets") == 0


async def test_an_upload_that_cannot_be_recorded_is_removed(
    artifacts: Artifacts, ask: Ask, s3: Minio, monkeypatch: pytest.MonkeyPatch
):
    async def fail(*_: object, **__: object) -> None:
        raise ConnectionError("the database is away")

    monkeypatch.setattr(actions, "record_dataset", fail)
    user = new_id()
    assert (await upload(ask, user, LINE)).status_code == 503
    assert left_over(s3, user) == []


async def test_other_formats_and_strange_names_are_refused(artifacts: Artifacts, ask: Ask):
    answer = await upload(ask, new_id(), LINE, format="vicuna")
    assert (answer.status_code, answer.json()["code"]) == (400, "unsupported_format")
    assert answer.json()["details"] == {"supported": list(FORMATS)}
    for name in ("", "a\0b", "a" * 201):
        assert (await upload(ask, new_id(), LINE, name=name)).status_code == 400


async def test_anothers_data_set_does_not_exist(artifacts: Artifacts, ask: Ask):
    owner, stranger = new_id(), new_id()
    dataset = (await upload(ask, owner, LINE)).json()["data"]
    for path in ("", "/errors", "/warnings", "/url"):
        assert (await ask(stranger).get(f"/datasets/{dataset['id']}{path}")).status_code == 404
    assert (await ask(stranger).get("/datasets")).json()["data"]["pagination"]["total"] == 0
    assert (await httpx.AsyncClient(base_url=artifacts.url).get("/datasets")).status_code == 401


async def test_data_sets_are_listed_newest_first(artifacts: Artifacts, ask: Ask):
    user = new_id()
    for name in ("one", "two", "three"):
        await upload(ask, user, LINE, name=name)
    data = (await ask(user).get("/datasets", params={"limit": 2})).json()["data"]
    assert [dataset["name"] for dataset in data["datasets"]] == ["three", "two"]
    assert data["pagination"] == {"page": 1, "limit": 2, "total": 3, "totalPages": 2}


async def test_a_validator_that_lost_its_lease_changes_nothing(artifacts: Artifacts, ask: Ask):
    user = new_id()
    await upload(ask, user, LINE * 10)
    async with transaction(artifacts.pool) as conn:
        late = await datasets.lease_dataset(conn, timedelta(0))
    assert late is not None
    assert await artifacts.validate()
    assert not await datasets.renew_validation(artifacts.pool, late.lease, timedelta(minutes=1))
    async with transaction(artifacts.pool) as conn:
        assert await actions.finish_validation(conn, late, Validation(ReadingOptions()).run(iter([])), None) is None
    (published,) = await artifacts.events("dataset.validated")
    assert DatasetValidated.model_validate_json(published).status == "ready"


async def test_a_validation_that_the_store_interrupts_is_repeated(
    artifacts: Artifacts, ask: Ask, monkeypatch: pytest.MonkeyPatch
):
    user = new_id()
    dataset = (await upload(ask, user, LINE * 10)).json()["data"]

    async def fail(*_: object) -> None:
        raise StoreUnavailable

    with monkeypatch.context() as broken:
        broken.setattr(ObjectStore, "_call", fail)
        with pytest.raises(StoreUnavailable):
            await artifacts.validate()
    assert not await artifacts.validate()
    await artifacts.pool.execute("UPDATE datasets SET leased_until = now()")
    assert await artifacts.validate()
    assert (await ask(user).get(f"/datasets/{dataset['id']}")).json()["data"]["status"] == "ready"


async def test_a_data_set_whose_file_is_lost_is_invalid(artifacts: Artifacts, ask: Ask, s3: Minio):
    user = new_id()
    dataset = (await upload(ask, user, LINE * 10)).json()["data"]
    s3.remove_object(DATASETS, f"{user}/{dataset['id']}/data.jsonl")
    assert await artifacts.validate()
    dataset = (await ask(user).get(f"/datasets/{dataset['id']}")).json()["data"]
    assert (dataset["status"], dataset["errors_by_code"]) == ("invalid", {"file_missing": 1})


async def test_a_data_set_is_claimed_by_one_validator_at_a_time(artifacts: Artifacts, ask: Ask):
    await upload(ask, new_id(), LINE * 10)
    assert sorted(await asyncio.gather(artifacts.validate(), artifacts.validate())) == [False, True]


async def test_large_uploads_of_one_user_do_not_keep_another_waiting(artifacts: Artifacts, ask: Ask):
    busy, other = new_id(), new_id()
    for user in (busy, busy, other):
        await upload(ask, user, LINE * 10)
    async with transaction(artifacts.pool) as conn:
        first = await datasets.lease_dataset(conn, timedelta(minutes=1))
    async with transaction(artifacts.pool) as conn:
        second = await datasets.lease_dataset(conn, timedelta(minutes=1))
    async with transaction(artifacts.pool) as conn:
        third = await datasets.lease_dataset(conn, timedelta(minutes=1))
    assert (first and first.user_id, second and second.user_id, third) == (busy, other, None)
    await artifacts.pool.execute("UPDATE datasets SET leased_until = now() WHERE user_id = $1", busy)
    assert await artifacts.validate(), "a validator that died does not keep its user's data sets waiting"
    assert await artifacts.validate()
    assert not await artifacts.validate()
