"""Uploads: files that come in parts, as the `openai` package sends them."""

from pathlib import Path
from typing import Any

import openai
import pytest

from brightrun.api.openai import ids
from brightrun.contracts.values import new_id
from tests.services.api.fakes import FakeArtifacts

CONTENT = b'{"messages": []}\n' * 20


async def test_a_file_comes_in_parts(client: openai.AsyncOpenAI, artifacts: FakeArtifacts, tmp_path: Path):
    path = tmp_path / "parts.jsonl"
    path.write_bytes(CONTENT)
    upload = await client.uploads.upload_file_chunked(
        file=path, mime_type="text/jsonl", purpose="fine-tune", part_size=100
    )
    assert (upload.status, upload.bytes, upload.filename) == ("completed", len(CONTENT), "parts.jsonl")
    assert upload.file is not None
    assert (await client.files.content(upload.file.id)).content == CONTENT


async def test_an_upload_is_given_up(client: openai.AsyncOpenAI):
    upload = await client.uploads.create(bytes=3, filename="a", mime_type="text/jsonl", purpose="fine-tune")
    assert (upload.object, upload.status, upload.file) == ("upload", "pending", None)
    part = await client.uploads.parts.create(upload.id, data=b"abc")
    assert (part.object, part.upload_id) == ("upload.part", upload.id)
    assert (await client.uploads.cancel(upload.id)).status == "cancelled"


async def test_an_upload_that_cannot_be_is_refused(client: openai.AsyncOpenAI):
    good: dict[str, Any] = {"bytes": 3, "filename": "a", "mime_type": "text/jsonl", "purpose": "fine-tune"}
    for wrong, param in (
        ({"bytes": 0}, "bytes"),
        ({"bytes": 8 * 1024**3 + 1}, "bytes"),
        ({"filename": ""}, "filename"),
        ({"purpose": "vision"}, "purpose"),
        ({"expires_after": {"anchor": "created_at", "seconds": 3600}}, "expires_after"),
        ({"extra_body": {"color": "red"}}, "color"),
    ):
        with pytest.raises(openai.BadRequestError) as refused:
            await client.uploads.create(**good | wrong)
        assert refused.value.param == param
    upload = await client.uploads.create(**good)
    for part_ids, md5 in (([], "0" * 32), (["part_x"], "0" * 32), ([ids.write(ids.PART, new_id())], "x")):
        with pytest.raises(openai.BadRequestError):
            await client.uploads.complete(upload.id, part_ids=part_ids, md5=md5)
