"""Every error has OpenAI's shape, and tells the client when not to retry."""

import json
from typing import Any

import httpx
import openai
import pytest
import pytest_asyncio
from fastapi import FastAPI

from brightrun.api.jobs import queries as jobs
from brightrun.runtime.database import Pool
from brightrun.runtime.http import BoundedRoute
from tests.services.api.conftest import User, submission, validated_dataset
from tests.services.api.fakes import FakeArtifacts, FakeTracker


@pytest_asyncio.fixture
async def http(url: str, ada: User):
    async with httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {ada.account['token']}"}) as client:
        yield client


def shaped(answer: httpx.Response) -> dict[str, Any]:
    """The inside of an error that has OpenAI's shape and nothing else, with the headers of every answer."""
    body = answer.json()
    assert body.keys() == {"error"}, answer.text
    assert body["error"].keys() == {"message", "type", "param", "code"}
    assert len(answer.headers.get_list("x-request-id")) == 1
    return body["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "", 404, "unknown_url"),
        ("GET", "/chat/completions", 404, "unknown_url"),
        ("POST", "/chat/completions", 404, "unknown_url"),
        ("PUT", "/files", 405, "method_not_allowed"),
        ("DELETE", "/fine_tuning/jobs", 405, "method_not_allowed"),
        ("GET", "/files/file-x", 404, "file_not_found"),
        ("GET", "/models/ft:tiny:personal::" + "0" * 32, 404, "model_not_found"),
        ("GET", "/models/a/b%00c", 404, "model_not_found"),
        ("GET", "/files?limit=many", 400, "validation_error"),
        ("GET", "/files?after=%00", 404, "file_not_found"),
        ("GET", "/fine_tuning/jobs?after=%00", 400, "validation_error"),
    ],
)
async def test_a_wrong_path_is_refused_in_openais_shape(
    http: httpx.AsyncClient, method: str, path: str, status: int, code: str
):
    answer = await http.request(method, path)
    assert (answer.status_code, shaped(answer)["code"]) == (status, code)
    assert shaped(answer)["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"{", 400, "validation_error"),
        (b"[]", 400, "validation_error"),
        (b"", 400, "validation_error"),
        (b'{"model": NaN, "training_file": Infinity}', 400, "validation_error"),
        (b'{"model": "\\ud800", "training_file": "x"}', 400, "validation_error"),
        (b'{"model": "a", "training_file": "x", "n": ' + b"[" * 200 + b"]" * 200 + b"}", 400, "validation_error"),
        (b"\xff\xfe", 400, "validation_error"),
        (b'"' + b"x" * BoundedRoute.max_body_bytes + b'"', 413, "too_large"),
    ],
)
async def test_a_wrong_body_is_refused_in_openais_shape(
    http: httpx.AsyncClient, content: bytes, status: int, code: str
):
    answer = await http.post("/fine_tuning/jobs", content=content, headers={"content-type": "application/json"})
    if b"[[" in content:
        assert answer.status_code in (400, 404)
        shaped(answer)
    else:
        assert (answer.status_code, shaped(answer)["code"]) == (status, code)


async def test_a_wrong_key_is_the_error_that_clients_expect(url: str, ada: User):
    async with httpx.AsyncClient(base_url=url) as nobody:
        answer = await nobody.get("/models")
        assert (answer.status_code, shaped(answer)["code"]) == (401, "invalid_api_key")
    async with openai.AsyncOpenAI(base_url=url, api_key="br_wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as refused:
            await client.models.list()
    assert refused.value.request_id


async def test_a_key_that_may_only_read_changes_nothing(url: str, ada: User, artifacts: FakeArtifacts):
    made = await ada.post("/api/keys", json={"name": "reader", "scopes": ["read"]})
    async with openai.AsyncOpenAI(base_url=url, api_key=made.json()["data"]["key"], max_retries=0) as client:
        assert [file async for file in client.files.list()] == []
        with pytest.raises(openai.PermissionDeniedError) as refused:
            await client.files.create(file=b"{}", purpose="fine-tune")
    assert (refused.value.code, refused.value.param) == ("wrong_scope", None)
    assert "train" in str(refused.value)
    assert artifacts.datasets == {}


async def test_an_unexpected_error_has_openais_shape(http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch):
    async def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(jobs, "slice_jobs", fail)
    answer = await http.get("/fine_tuning/jobs")
    assert (answer.status_code, shaped(answer)["code"], shaped(answer)["type"]) == (
        500,
        "internal_error",
        "server_error",
    )


async def test_an_unavailable_database_has_openais_error_shape(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
):
    async def fail(*_: object) -> None:
        raise ConnectionError

    monkeypatch.setattr(jobs, "slice_jobs", fail)
    answer = await http.get("/fine_tuning/jobs")
    assert (answer.status_code, shaped(answer)["code"]) == (503, "unavailable")
    assert answer.headers["retry-after"]


async def test_an_unavailable_peer_service_has_openais_error_shape(
    http: httpx.AsyncClient, tracker: FakeTracker, ada: User, pool: Pool
):
    job = (await ada.post("/api/jobs", json=submission(await validated_dataset(pool, ada)))).json()["data"]
    tracker.unavailable = True
    answer = await http.get(f"/fine_tuning/jobs/ftjob-{job['id'].replace('-', '')}/events")
    assert (answer.status_code, shaped(answer)["code"], shaped(answer)["type"]) == (503, "unavailable", "server_error")


async def test_the_dialect_describes_itself(http: httpx.AsyncClient):
    document = (await http.get("/openapi.json")).json()
    assert {"/files", "/uploads/{upload_id}/parts", "/fine_tuning/jobs", "/models/{model}"} <= document["paths"].keys()
    assert "HTTPValidationError" not in json.dumps(document)
    for operations in document["paths"].values():
        for operation in operations.values():
            refused = {status: answer for status, answer in operation["responses"].items() if status[0] in "45"}
            assert {"401", "403", "429", "503"} <= refused.keys()
            for answer in refused.values():
                schema = answer["content"]["application/json"]["schema"]
                assert schema["$ref"].endswith("/ErrorAnswer")


async def test_the_other_dialect_keeps_its_own_shape(app: FastAPI, ada: User, tracker: FakeTracker):
    assert (await ada.get("/api/nothing")).json().keys() == {"error", "code", "details"}
