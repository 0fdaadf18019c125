"""Slow uploads of one user end with a clear error, and leave those of others alone."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from fastapi import FastAPI

from brightrun.runtime.uploads import UploadLimits, Uploads
from tests.services.api.conftest import User
from tests.waiting import eventually

LIMITS = UploadLimits(per_user=3, stall_seconds=5.0, min_bytes_per_second=1000, grace_seconds=0.5)
FORM = "multipart/form-data; boundary=x"
LINE = b'{"messages": []}\n'


async def _trickle(seconds: float) -> AsyncIterator[bytes]:
    while True:
        yield b"x"
        await asyncio.sleep(seconds)


async def _slow_down(when: asyncio.Event) -> AsyncIterator[bytes]:
    """Fast enough until then."""
    while not when.is_set():
        yield b"x" * LIMITS.min_bytes_per_second
        await asyncio.sleep(0.1)
    async for piece in _trickle(0.1):
        yield piece


async def _refused(uploads: Sequence[asyncio.Task[Any]]) -> bool:
    return sum(upload.done() for upload in uploads) == len(uploads) - LIMITS.per_user


def _upload(user: Any, content: Any) -> Any:
    return user.post("/api/datasets", params={"name": "harbour"}, content=content)


@pytest.fixture
def limited(app: FastAPI) -> None:
    app.state.clients.artifacts.uploads = Uploads(LIMITS)


@pytest.mark.usefixtures("limited")
async def test_twenty_slow_uploads_end_and_others_go_on(ada: User, eve: User):
    others_refused = asyncio.Event()
    trickling = [asyncio.create_task(_upload(ada, _slow_down(others_refused))) for _ in range(20)]
    answer = await _upload(eve, LINE)
    await eventually(lambda: _refused(trickling))
    others_refused.set()
    answers = await asyncio.gather(*trickling)
    assert answer.status_code == 201
    ends = [(answer.status_code, answer.json()["code"]) for answer in answers]
    assert ends.count((408, "upload_too_slow")) == LIMITS.per_user
    assert ends.count((429, "too_many_uploads")) == 20 - LIMITS.per_user
    assert (await _upload(ada, LINE)).status_code == 201, "those that ended count no more"


async def test_a_silent_upload_ends(ada: User, app: FastAPI):
    app.state.clients.artifacts.uploads = Uploads(UploadLimits(stall_seconds=0.2))
    answer = await _upload(ada, _trickle(60))
    assert (answer.status_code, answer.json()["code"]) == (408, "upload_stalled")


async def test_an_upload_has_a_deadline(ada: User, app: FastAPI):
    app.state.clients.artifacts.uploads = Uploads(UploadLimits(deadline_seconds=0.2))
    answer = await _upload(ada, _trickle(0.05))
    assert (answer.status_code, answer.json()["code"]) == (408, "upload_too_slow")
    assert answer.json()["details"] == {"deadline_seconds": 0.2}


@pytest.mark.parametrize(("path", "head"), [("/v1/files", "purpose"), ("/v1/uploads/{upload}/parts", "data")])
async def test_a_form_that_never_comes_to_its_file_ends(ada: User, app: FastAPI, path: str, head: str):
    app.state.clients.artifacts.uploads = Uploads(UploadLimits(per_user=1, stall_seconds=0.2))
    if "{upload}" in path:
        body = {"filename": "a.jsonl", "bytes": 20, "purpose": "fine-tune", "mime_type": "text/jsonl"}
        path = path.format(upload=(await ada.post("/v1/uploads", json=body)).json()["id"])
    for _ in range(2):
        answer = await ada.post(
            path, content=_begin(f'--x\r\nContent-Disposition: form-data; name="{head}'), headers={"content-type": FORM}
        )
        assert (answer.status_code, answer.json()["error"]["code"]) == (408, "upload_stalled")


async def _begin(head: str) -> AsyncIterator[bytes]:
    yield head.encode()
    await asyncio.sleep(60)
