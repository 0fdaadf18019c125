"""Streams into the store: whole, verified, or nothing."""

import asyncio
import hashlib
from collections.abc import AsyncIterator

import pytest
from minio import Minio

from brightrun.artifacts.keys import DATASETS, MODELS
from brightrun.artifacts.source import Mismatch, StoredObject
from brightrun.artifacts.storage import PART_BYTES, UPLOADS, ObjectStore
from brightrun.contracts.errors import UploadStalled
from brightrun.contracts.values import new_id
from tests.services.artifacts.conftest import Artifacts

LIMIT = 10 * PART_BYTES


async def pieces(*content: bytes, then: asyncio.Event | None = None) -> AsyncIterator[bytes]:
    for piece in content:
        yield piece
    if then:
        await then.wait()


def left_over(s3: Minio, key: str) -> list[object]:
    return [*s3.list_objects(MODELS, key), *s3._list_multipart_uploads(MODELS, prefix=key).uploads]


@pytest.mark.parametrize("size", [0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES])
async def test_an_object_of_any_size_arrives_as_it_was_sent(artifacts: Artifacts, s3: Minio, size: int):
    content, key = bytes(range(251)) * (size // 251 + 1), f"{new_id()}/file"
    sent = content[:size]
    stored = await artifacts.store.put(MODELS, key, pieces(sent[: size // 3], sent[size // 3 :]), LIMIT)
    assert stored == StoredObject(size, hashlib.sha256(sent).hexdigest())
    assert s3.get_object(MODELS, key).read() == sent


async def test_a_given_up_upload_leaves_nothing(artifacts: Artifacts, s3: Minio):
    key, asked = f"{new_id()}/file", asyncio.Event()

    async def silent() -> AsyncIterator[bytes]:
        yield bytes(2 * PART_BYTES + 2)
        asked.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(artifacts.store.put(MODELS, key, silent(), LIMIT))
    await asyncio.wait_for(asked.wait(), 30)
    assert left_over(s3, key)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert left_over(s3, key) == []


async def test_a_sender_that_falls_silent_is_not_waited_for(artifacts: Artifacts, s3: Minio):
    store = ObjectStore(artifacts.settings, stall_seconds=0.1)
    key = f"{new_id()}/file"
    with pytest.raises(UploadStalled):
        await store.put(MODELS, key, pieces(bytes(2 * PART_BYTES), then=asyncio.Event()), LIMIT)
    store.close()
    assert left_over(s3, key) == []


async def test_slow_uploads_do_not_hold_up_transfers(artifacts: Artifacts, s3: Minio):
    async def silent() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    uploads = [
        asyncio.create_task(artifacts.store.put(MODELS, f"{new_id()}/file", silent(), LIMIT, from_user=True))
        for _ in range(UPLOADS + 1)
    ]
    stored = await asyncio.wait_for(artifacts.store.put(MODELS, f"{new_id()}/file", pieces(b"abc"), LIMIT), 30)
    assert stored.size == 3
    for upload in uploads:
        upload.cancel()
    await asyncio.gather(*uploads, return_exceptions=True)


@pytest.mark.parametrize("sent", [b"", b"abd", b"abcd", bytes(2 * PART_BYTES)])
async def test_other_bytes_than_announced_are_not_kept(artifacts: Artifacts, s3: Minio, sent: bytes):
    expected = StoredObject(3, hashlib.sha256(b"abc").hexdigest())
    key = f"{new_id()}/file"
    with pytest.raises(Mismatch):
        await artifacts.store.put(MODELS, key, pieces(sent), LIMIT, expected)
    assert left_over(s3, key) == []
    assert not await artifacts.store.holds(MODELS, key, expected)
    await artifacts.store.put(MODELS, key, pieces(b"a", b"bc"), LIMIT, expected)
    assert await artifacts.store.holds(MODELS, key, expected)


async def test_the_store_itself_ends_uploads_that_a_crash_left(artifacts: Artifacts, s3: Minio):
    for bucket in (DATASETS, MODELS):
        rules = s3.get_bucket_lifecycle(bucket)
        assert rules is not None
        (rule,) = rules.rules
        assert rule.abort_incomplete_multipart_upload is not None
        assert rule.abort_incomplete_multipart_upload.days_after_initiation == 1
