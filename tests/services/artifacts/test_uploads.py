"""A file that comes in parts becomes a data set once, whatever breaks off, and leaves nothing else behind."""

import asyncio
import hashlib
from typing import Any
from uuid import UUID

import httpx
import pytest
from minio import Minio

from brightrun.artifacts.storage import ObjectStore, StoreUnavailable
from brightrun.artifacts.uploads import actions, routes
from brightrun.artifacts.uploads import queries as uploads
from brightrun.artifacts.uploads.loops import expire_uploads
from brightrun.contracts.values import new_id
from brightrun.runtime.database import transaction
from tests.services.artifacts.conftest import Artifacts, Ask
from tests.services.artifacts.test_datasets import LINE, left_over

HALVES = [LINE * 7, LINE * 5]
WHOLE = b"".join(HALVES)


async def opened(ask: Ask, user: UUID, size: int = len(WHOLE)) -> str:
    answer = await ask(user).post("/uploads", json={"filename": "harbour.jsonl", "size": size})
    assert answer.status_code == 201, answer.text
    return answer.json()["data"]["id"]


async def added(ask: Ask, user: UUID, upload_id: str, content: bytes) -> str:
    answer = await ask(user).post(f"/uploads/{upload_id}/parts", content=content)
    assert answer.status_code == 201, answer.text
    return answer.json()["data"]["id"]


async def complete(ask: Ask, user: UUID, upload_id: str, part_ids: list[str], **more: Any) -> httpx.Response:
    return await ask(user).post(f"/uploads/{upload_id}/complete", json={"part_ids": part_ids} | more)


async def filled(ask: Ask, user: UUID) -> tuple[str, list[str]]:
    """An upload with both of its parts, which came in the wrong order."""
    upload_id = await opened(ask, user)
    second, first = [await added(ask, user, upload_id, part) for part in reversed(HALVES)]
    return upload_id, [first, second]


async def test_parts_are_assembled_in_the_requested_order(artifacts: Artifacts, ask: Ask, s3: Minio):
    user = new_id()
    upload_id, parts = await filled(ask, user)
    answer = await complete(ask, user, upload_id, parts, md5=hashlib.md5(WHOLE, usedforsecurity=False).hexdigest())

    upload = answer.json()["data"]
    assert (upload["status"], upload["dataset"]["name"]) == ("completed", "harbour.jsonl")
    assert upload["dataset"]["sha256"] == hashlib.sha256(WHOLE).hexdigest()
    assert await artifacts.validate()
    content = await ask(user).get(f"/datasets/{upload['dataset']['id']}/content")
    assert (content.content, content.headers["content-length"]) == (WHOLE, str(len(WHOLE)))
    await artifacts.delete_objects()
    assert left_over(s3, user) == [f"{user}/{upload['dataset']['id']}/data.jsonl"]


async def test_a_completion_that_is_repeated_answers_with_the_same_data_set(artifacts: Artifacts, ask: Ask):
    user = new_id()
    upload_id, parts = await filled(ask, user)
    answers = await asyncio.gather(*(complete(ask, user, upload_id, parts) for _ in range(3)))

    assert [answer.status_code for answer in answers] == [200] * 3
    assert len({answer.json()["data"]["dataset"]["id"] for answer in answers}) == 1
    assert await artifacts.pool.fetchval("SELECT count(*) FROM datasets") == 1
    other_file = await complete(ask, user, upload_id, parts[::-1])
    assert (other_file.status_code, other_file.json()["code"]) == (409, "upload_over")
    assert (await ask(user).post(f"/uploads/{upload_id}/parts", content=LINE)).status_code == 409
    assert (await ask(user).post(f"/uploads/{upload_id}/cancel")).status_code == 409


async def test_parts_that_are_not_the_announced_file_change_nothing(artifacts: Artifacts, ask: Ask, s3: Minio):
    user = new_id()
    upload_id, parts = await filled(ask, user)
    foreign = (await filled(ask, user))[1]
    wrong = [parts[:1], [parts[0], parts[0]], [parts[0], foreign[1]]]

    answers = [await complete(ask, user, upload_id, chosen) for chosen in wrong]
    answers.append(await complete(ask, user, upload_id, parts, md5="0" * 32))
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(400, "upload_mismatch")}
    assert await artifacts.pool.fetchval("SELECT count(*) FROM datasets") == 0
    assert (await complete(ask, user, upload_id, parts)).status_code == 200


async def test_a_completion_that_the_store_interrupts_can_be_repeated(
    artifacts: Artifacts, ask: Ask, s3: Minio, monkeypatch: pytest.MonkeyPatch
):
    user = new_id()
    upload_id, parts = await filled(ask, user)

    async def fail(*_: object, **__: object) -> None:
        raise StoreUnavailable

    with monkeypatch.context() as broken:
        broken.setattr(ObjectStore, "put", fail)
        assert (await complete(ask, user, upload_id, parts)).status_code == 503
    done = (await complete(ask, user, upload_id, parts)).json()["data"]
    await artifacts.delete_objects()
    assert left_over(s3, user) == [f"{user}/{done['dataset']['id']}/data.jsonl"]


async def test_a_completion_whose_process_died_is_taken_over(artifacts: Artifacts, ask: Ask, s3: Minio):
    user = new_id()
    upload_id, parts = await filled(ask, user)
    async with transaction(artifacts.pool) as conn:
        upload = await uploads.lock_upload(conn, user, UUID(upload_id))
        assert upload is not None
        dead = await actions.lease_upload(conn, upload, [UUID(part) for part in parts])
    lost = await routes.write_parts(artifacts.store, dead, None)
    await artifacts.pool.execute("UPDATE uploads SET leased_until = now()")

    done = (await complete(ask, user, upload_id, parts)).json()["data"]
    async with transaction(artifacts.pool) as conn:
        assert await actions.complete_upload(conn, dead, lost) is None
    assert await artifacts.pool.fetchval("SELECT count(*) FROM datasets") == 1
    await artifacts.pool.execute("UPDATE discards SET due_at = now()")
    await artifacts.delete_objects()
    assert left_over(s3, user) == [f"{user}/{done['dataset']['id']}/data.jsonl"]


async def test_a_cancelled_upload_leaves_nothing(artifacts: Artifacts, ask: Ask, s3: Minio):
    user = new_id()
    upload_id, parts = await filled(ask, user)
    answers = [await ask(user).post(f"/uploads/{upload_id}/cancel") for _ in range(2)]

    assert [answer.json()["data"]["status"] for answer in answers] == ["cancelled"] * 2
    assert (await complete(ask, user, upload_id, parts)).status_code == 409
    await artifacts.delete_objects()
    assert left_over(s3, user) == []


async def test_an_abandoned_upload_is_swept(artifacts: Artifacts, ask: Ask, s3: Minio):
    user = new_id()
    upload_id, parts = await filled(ask, user)
    await artifacts.pool.execute("UPDATE uploads SET expires_at = now()")

    late = await complete(ask, user, upload_id, parts)
    assert (late.status_code, late.json()["details"]) == (409, {"status": "expired"})
    await expire_uploads(artifacts.pool)
    await artifacts.delete_objects()
    assert left_over(s3, user) == []
    assert (await ask(user).post(f"/uploads/{upload_id}/parts", content=LINE)).status_code == 409


async def test_the_size_of_parts_and_uploads_is_limited(artifacts: Artifacts, ask: Ask, s3: Minio):
    artifacts.limit(part_bytes=1024)
    user = new_id()
    upload_id = await opened(ask, user, size=512)
    big = await ask(user).post(f"/uploads/{upload_id}/parts", content=b"x" * 1025)
    assert (big.status_code, big.json()["code"]) == (413, "too_large")
    assert left_over(s3, user) == []
    for _ in range(3):
        await added(ask, user, upload_id, b"x" * 1024)
    full = await ask(user).post(f"/uploads/{upload_id}/parts", content=b"x")
    assert (full.status_code, full.json()["code"]) == (409, "upload_full")


@pytest.mark.parametrize("body", [{"filename": "x", "size": 0}, {"filename": "", "size": 1}, {"size": 2**40}, {}])
async def test_an_upload_needs_a_valid_name_and_size(artifacts: Artifacts, ask: Ask, body: dict[str, Any]):
    assert (await ask(new_id()).post("/uploads", json=body)).status_code == 400


async def test_anothers_upload_does_not_exist(artifacts: Artifacts, ask: Ask):
    upload_id, parts = await filled(ask, new_id())
    stranger = new_id()
    answers = [
        await ask(stranger).post(f"/uploads/{upload_id}/parts", content=LINE),
        await complete(ask, stranger, upload_id, parts),
        await ask(stranger).post(f"/uploads/{upload_id}/cancel"),
    ]
    assert [answer.status_code for answer in answers] == [404] * 3
