"""Files and uploads: data sets and results, as the `openai` package sees them."""

from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from fastapi import FastAPI

from brightrun.api.openai import ids
from brightrun.api.openai.forms import MAX_FIELDS
from brightrun.contracts.values import new_id
from brightrun.runtime.database import Pool
from tests.builders import NOON, job_completed, job_progress
from tests.services.api.conftest import User, limit, submission, validated_dataset
from tests.services.api.fakes import FakeArtifacts, FakeTracker
from tests.services.slices import deliver

CONTENT = b'{"messages": []}\n' * 20


async def sent(url: str, user: User, parts: list[tuple[str, str | None, bytes]]) -> httpx.Response:
    """A form with the parts in this order, each with a file name or without."""
    body = b""
    for name, filename, content in parts:
        file = f'; filename="{filename}"' if filename is not None else ""
        body += f'--x\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + content + b"\r\n"
    return await posted(url, user, body + b"--x--\r\n")


async def posted(url: str, user: User, body: bytes, kind: str = "multipart/form-data; boundary=x") -> httpx.Response:
    headers = {"authorization": f"Bearer {user.account['token']}", "content-type": kind}
    async with httpx.AsyncClient(timeout=20) as http:
        return await http.post(f"{url}/files", content=body, headers=headers)


async def finished_job(pool: Pool, ada: User) -> str:
    """The id of a job that has ended well, long ago."""
    dataset_id = await validated_dataset(pool, ada)
    job = (await ada.post("/api/jobs", json=submission(dataset_id))).json()["data"]
    of_job = {"job_id": job["id"], "user_id": ada.id}
    await deliver("api", pool, job_progress(**of_job, seq=90, step=90), job_completed(**of_job, finished_at=NOON))
    return job["id"]


async def test_a_file_is_a_data_set(client: openai.AsyncOpenAI, artifacts: FakeArtifacts, tmp_path: Path):
    path = tmp_path / "harbour talk.jsonl"
    path.write_bytes(CONTENT)
    file = await client.files.create(file=path, purpose="fine-tune")

    assert (file.object, file.filename, file.bytes, file.purpose) == ("file", path.name, len(CONTENT), "fine-tune")
    dataset_id = ids.read(ids.FILE, file.id)
    assert dataset_id in artifacts.datasets
    assert await client.files.retrieve(file.id) == file
    assert (await client.files.content(file.id)).content == CONTENT
    assert [listed.id async for listed in client.files.list()] == [file.id]
    deleted = await client.files.delete(file.id)
    assert (deleted.id, deleted.object, deleted.deleted) == (file.id, "file", True)
    assert artifacts.datasets == {}


async def test_a_file_tells_how_its_validation_went(client: openai.AsyncOpenAI, ada: User, artifacts: FakeArtifacts):
    statuses = {"uploaded": "uploaded", "validating": "uploaded", "ready": "processed", "invalid": "error"}
    for status, as_file in statuses.items():
        errors = {"empty_line": 2, "invalid_json": 1} if status == "invalid" else {}
        dataset_id = artifacts.hold_dataset(ada.id, status=status, errors_by_code=errors)
        file = await client.files.retrieve(ids.write(ids.FILE, dataset_id))
        assert file.status == as_file
        assert ("empty_line (2), invalid_json (1)" in (file.status_details or "")) == (status == "invalid")


async def test_a_large_file_is_streamed_on(client: openai.AsyncOpenAI, artifacts: FakeArtifacts, tmp_path: Path):
    path = tmp_path / "large.jsonl"
    path.write_bytes(CONTENT * 100_000)
    file = await client.files.create(file=path, purpose="fine-tune")
    assert file.bytes == artifacts.uploaded == len(CONTENT) * 100_000


async def test_the_form_may_come_in_any_order(url: str, ada: User, artifacts: FakeArtifacts):
    for parts in (
        [("file", "a.jsonl", CONTENT), ("purpose", None, b"fine-tune")],
        [("purpose", None, b"fine-tune"), ("file", None, CONTENT)],
        [("purpose", None, b"fine-tune"), ("file", "../\u00e9t\u00e9\\\u5317.jsonl", b"")],
    ):
        answer = await sent(url, ada, parts)
        assert answer.status_code == 200, answer.text
    names = [dataset["name"] for _, dataset in artifacts.datasets.values()]
    assert names == ["a.jsonl", "upload", "\u5317.jsonl"]


FINE_TUNE = ("purpose", None, b"fine-tune")
FILE = ("file", "a", CONTENT)
EXPIRY = ("expires_after[seconds]", None, b"1")


WRONG_FORMS: list[tuple[Any, tuple[str, str | None]]] = [
    ([FILE], ("validation_error", "purpose")),
    ([FINE_TUNE], ("validation_error", "file")),
    ([("purpose", None, b"assistants"), FILE], ("validation_error", "purpose")),
    ([FILE, ("purpose", None, b"batch")], ("validation_error", "purpose")),
    ([FINE_TUNE, FILE, ("color", None, b"red")], ("validation_error", "color")),
    (
        [FINE_TUNE, FILE, ("expires_after[seconds]", None, b"1")],
        ("unsupported_parameter", "expires_after[seconds]"),
    ),
    ([FINE_TUNE, FILE, FILE], ("invalid_form", None)),
    ([FINE_TUNE, ("document", "a", CONTENT)], ("invalid_form", None)),
    ([FINE_TUNE, FINE_TUNE], ("invalid_form", None)),
    ([(f"field{n}", None, b"") for n in range(MAX_FIELDS + 1)], ("invalid_form", None)),
    ([("purpose", None, b"x" * 5000)], ("invalid_form", None)),
    ([("purpose", None, b"\xff"), FILE], ("invalid_form", None)),
]
"""The parts of a form, and the code and field that it is refused with."""


async def test_of_a_form_that_is_refused_nothing_is_kept(
    url: str, ada: User, artifacts: FakeArtifacts, subtests: pytest.Subtests
):
    for parts, refusal in WRONG_FORMS:
        with subtests.test(refusal=refusal):
            answer = await sent(url, ada, parts)
            assert answer.status_code == 400, answer.text
            assert (answer.json()["error"]["code"], answer.json()["error"]["param"]) == refusal
            assert artifacts.datasets == {}


FORM = "multipart/form-data; boundary=x"
BEGUN = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n{}'


BROKEN_FORMS = [
    (b"", FORM),
    (b"{}", "application/json"),
    (b"{}", "multipart/form-data"),
    (b"no boundary at all", FORM),
    (BEGUN, FORM),
    (b"--x\r\nContent-Disposition: form-data\r\n\r\nx\r\n--x--", FORM),
    (b"--x\r\nBad\x00Header: y\r\n\r\nx\r\n--x--", FORM),
]
"""Body and content type."""


async def test_an_invalid_form_is_rejected(url: str, ada: User, artifacts: FakeArtifacts, subtests: pytest.Subtests):
    for body, kind in BROKEN_FORMS:
        with subtests.test(body=body):
            answer = await posted(url, ada, body, kind)
            assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
            assert artifacts.datasets == {}


async def test_a_file_beyond_the_limit_is_refused_while_it_comes(
    url: str, app: FastAPI, ada: User, artifacts: FakeArtifacts
):
    limit(app, file_bytes=1000)
    parts = [("purpose", None, b"fine-tune"), ("file", "a.jsonl", b"x" * 1001)]
    answer = await sent(url, ada, parts)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "file_too_large")
    endless = await sent(url, ada, [("purpose", None, b"fine-tune"), ("file", "a.jsonl", b"x" * 10_000_000)])
    assert endless.status_code == 413
    assert artifacts.datasets == {}


async def test_files_are_listed_by_age_with_results_among_them(
    client: openai.AsyncOpenAI, ada: User, pool: Pool, artifacts: FakeArtifacts
):
    early = artifacts.hold_dataset(ada.id, created_at="2026-11-24T11:59:59.500000+00:00")
    late = artifacts.hold_dataset(ada.id, created_at="2026-11-24T12:00:01+00:00")
    job_id = await finished_job(pool, ada)
    names = [ids.write(ids.FILE, late), f"file-results-{job_id.replace('-', '')}", ids.write(ids.FILE, early)]

    assert [file.id async for file in client.files.list()] == names
    assert [file.id async for file in client.files.list(limit=1)] == names
    assert [file.id async for file in client.files.list(limit=1, order="asc")] == names[::-1]
    assert [file.id async for file in client.files.list(purpose="fine-tune")] == [names[0], names[2]]
    assert [file.id async for file in client.files.list(purpose="fine-tune-results")] == [names[1]]
    assert [file.id async for file in client.files.list(purpose="vision")] == []
    page = await client.files.list(limit=2, after=names[0])
    assert ([file.id for file in page.data], page.has_more) == (names[1:], False)
    with pytest.raises(openai.NotFoundError):
        await client.files.list(after=ids.write(ids.FILE, new_id()))
    for wrong in ({"limit": 0}, {"limit": 10_001}, {"order": "up"}):
        with pytest.raises(openai.BadRequestError):
            await client.files.list(**wrong)


async def test_results_are_made_of_what_the_job_measured(
    client: openai.AsyncOpenAI, ada: User, pool: Pool, tracker: FakeTracker
):
    tracker.points = [
        {"step": 1, "training_loss": 2.5, "token_accuracy": 0.25, "validation_loss": None},
        {"step": 2, "training_loss": 2.25, "token_accuracy": 0.5},
        {"step": 2, "validation_loss": 2.75, "validation_token_accuracy": 0.375},
    ]
    job_id = await finished_job(pool, ada)
    job = await client.fine_tuning.jobs.retrieve(f"ftjob-{job_id.replace('-', '')}")
    (results,) = job.result_files

    content = await client.files.content(results)
    assert content.text.splitlines() == [
        "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy",
        "1,2.5,0.25,,",
        "2,2.25,0.5,2.75,0.375",
    ]
    file = await client.files.retrieve(results)
    assert (file.bytes, file.purpose, file.status) == (len(content.content), "fine-tune-results", "processed")
    tracker.unavailable = True
    assert (await client.files.retrieve(results)).bytes == file.bytes
    await pool.execute("DELETE FROM result_sizes")
    assert [listed.bytes async for listed in client.files.list()] == [0], "without its size rather than not at all"
    with pytest.raises(openai.InternalServerError, match="503"):
        await client.files.content(results)
    with pytest.raises(openai.ConflictError, match="when the job is deleted"):
        await client.files.delete(results)


async def test_a_file_that_a_job_trains_on_is_not_deleted(
    client: openai.AsyncOpenAI, ada: User, pool: Pool, artifacts: FakeArtifacts
):
    dataset_id = artifacts.hold_dataset(ada.id)
    file_id = ids.write(ids.FILE, dataset_id)
    job = await client.fine_tuning.jobs.create(model="tiny", training_file=file_id)
    with pytest.raises(openai.ConflictError) as refused:
        await client.files.delete(file_id)
    assert refused.value.code == "dataset_in_use"
    assert refused.value.response.headers["x-should-retry"] == "false"

    job_id = ids.read(ids.JOB, job.id)
    await deliver("api", pool, job_completed(job_id=job_id, user_id=ada.id, outcome="cancelled"))
    assert (await client.files.delete(file_id)).deleted
    with pytest.raises(openai.NotFoundError):
        await client.fine_tuning.jobs.create(model="tiny", training_file=file_id)


async def test_anothers_file_does_not_exist(
    client: openai.AsyncOpenAI, stranger: openai.AsyncOpenAI, ada: User, pool: Pool, artifacts: FakeArtifacts
):
    dataset_id = artifacts.hold_dataset(ada.id)
    job_id = await finished_job(pool, ada)
    upload = await client.uploads.create(bytes=3, filename="a", mime_type="text/jsonl", purpose="fine-tune")
    for file_id in (ids.write(ids.FILE, dataset_id), f"file-results-{job_id.replace('-', '')}", "file-none", "file-"):
        for ask in (stranger.files.retrieve, stranger.files.content, stranger.files.delete):
            with pytest.raises(openai.NotFoundError) as refused:
                await ask(file_id)
            assert refused.value.code == "file_not_found"
    assert [file async for file in stranger.files.list()] == []
    for ask_upload in (
        stranger.uploads.cancel(upload.id),
        stranger.uploads.parts.create(upload.id, data=b"abc"),
        stranger.uploads.complete(upload.id, part_ids=[ids.write(ids.PART, new_id())]),
        stranger.uploads.cancel("upload_x"),
    ):
        with pytest.raises(openai.NotFoundError):
            await ask_upload


async def test_of_an_upload_that_breaks_off_nothing_is_kept(ada: User, artifacts: FakeArtifacts, app: FastAPI):
    received = iter([{"type": "http.request", "body": BEGUN, "more_body": True}, {"type": "http.disconnect"}])
    sent: list[Any] = []

    async def receive() -> Any:
        return next(received)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"authorization", f"Bearer {ada.account['token']}".encode()), (b"content-type", FORM.encode())]
    scope = {"type": "http", "method": "POST", "path": "/v1/files", "query_string": b"", "headers": headers}
    await app(scope, receive, send)
    assert sent[0]["status"] == 400
    assert artifacts.datasets == {}
