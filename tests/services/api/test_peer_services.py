"""Data sets, models, costs and notifications: requests to their owners on behalf of the user."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI

from tests.services.api.conftest import User
from tests.services.api.fakes import FakeArtifacts, FakeNotifier, FakeTracker


async def test_an_upload_is_streamed_on(ada: User, artifacts: FakeArtifacts):
    async def lines() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b"x" * 65_536

    answer = await ada.post("/api/datasets", params={"name": " Replies ", "format": "openai_chat"}, content=lines())

    assert answer.status_code == 201
    dataset = answer.json()["data"]
    assert (dataset["name"], dataset["format"], artifacts.uploaded) == ("Replies", "openai_chat", 64 * 65_536)
    assert (await ada.get(f"/api/datasets/{dataset['id']}")).json()["data"] == dataset


async def test_of_an_upload_that_breaks_off_nothing_is_kept(ada: User, artifacts: FakeArtifacts, app: FastAPI):
    received = iter([{"type": "http.request", "body": b"{}", "more_body": True}, {"type": "http.disconnect"}])
    sent: list[Any] = []

    async def receive() -> Any:
        return next(received)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"authorization", f"Bearer {ada.account['token']}".encode())]
    upload = {"type": "http", "method": "POST", "path": "/api/datasets", "query_string": b"name=x", "headers": headers}
    await app(upload, receive, send)

    assert sent[0]["status"] == 400
    assert artifacts.datasets == {}


async def test_the_format_need_not_be_named(ada: User):
    answer = await ada.post("/api/datasets", params={"name": "Replies"}, content=b"{}\n")

    assert (answer.status_code, answer.json()["data"]["format"]) == (201, "")


@pytest.mark.parametrize("name", [None, "", "  ", "a\x00b", "x" * 201])
async def test_an_upload_needs_a_name(ada: User, artifacts: FakeArtifacts, name: str | None):
    before = len(artifacts.datasets)
    answer = await ada.post("/api/datasets", params={} if name is None else {"name": name}, content=b"{}\n")

    assert (answer.status_code, answer.json()["details"].keys()) == (400, {"name"})
    assert len(artifacts.datasets) == before


async def test_data_sets_are_listed_with_their_errors(ada: User, eve: User, artifacts: FakeArtifacts):
    dataset_id = artifacts.hold_dataset(ada.id, status="invalid")

    listed = (await ada.get("/api/datasets", params={"page": 2, "limit": 5})).json()["data"]
    assert [dataset["id"] for dataset in listed["datasets"]] == [str(dataset_id)]
    assert artifacts.requests[-1] == ("GET /datasets", {"page": "2", "limit": "5"})
    errors = (await ada.get(f"/api/datasets/{dataset_id}/errors")).json()["data"]
    assert (errors["errors"][0]["line"], errors["error_count"]) == (3, 1)
    assert (await eve.get("/api/datasets")).json()["data"]["datasets"] == []


async def test_what_somebody_else_owns_does_not_exist(ada: User, eve: User, artifacts: FakeArtifacts):
    dataset_id, model_id = artifacts.hold_dataset(ada.id), artifacts.hold_model(ada.id)
    answers = [
        await eve.get(f"/api/datasets/{dataset_id}"),
        await eve.get(f"/api/datasets/{dataset_id}/errors"),
        await eve.get(f"/api/models/{model_id}"),
        await eve.post(f"/api/models/{model_id}/download"),
    ]

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(404, "not_found")] * 4


async def test_models_are_listed_and_downloaded(ada: User, artifacts: FakeArtifacts):
    model_id = artifacts.hold_model(ada.id)

    listed = (await ada.get("/api/models", params={"sort": "quality"})).json()["data"]
    assert [model["id"] for model in listed["models"]] == [str(model_id)]
    assert artifacts.requests[-1] == ("GET /models", {"page": "1", "limit": "12", "sort": "quality"})
    assert (await ada.get(f"/api/models/{model_id}")).json()["data"] == {"id": str(model_id)}
    everything = await ada.post(f"/api/models/{model_id}/download")
    assert len(everything.json()["data"]["download_urls"]) == 2
    download = await ada.post(f"/api/models/{model_id}/download", json={"files": ["adapter_config.json"]})
    assert download.json()["data"] == {
        "download_urls": {"adapter_config.json": "https://store/adapter_config.json"},
        "expires_in": 3600,
    }


async def test_costs_are_numbers_and_the_total_is_the_exact_sum(ada: User):
    assert (await ada.get("/api/costs")).json()["data"] == {
        "total_cost": 0.5972,
        "cost_by_type": {"compute": 0.0972, "storage": 0.5},
        "chart_data": [{"date": "2026-11-24", "amount": 0.5972}],
        "records": [{"cost_type": "compute", "amount": 0.0972}],
        "truncated": False,
    }


@pytest.mark.parametrize(("query", "days"), [({}, 30), ({"period": "week"}, 7), ({"period": "year"}, 365)])
async def test_costs_are_those_of_the_last_period(ada: User, tracker: FakeTracker, query: dict[str, str], days: int):
    await ada.get("/api/costs", params=query)

    params = tracker.requests[-1][1]
    length = datetime.fromisoformat(params["end"]) - datetime.fromisoformat(params["start"])
    assert length == timedelta(days=days)


async def test_both_ends_of_a_period_are_honoured(ada: User, tracker: FakeTracker):
    await ada.get("/api/costs", params={"start_date": "2026-11-01", "end_date": "2026-11-24"})

    params = {"start": "2026-11-01T00:00:00+00:00", "end": "2026-11-24T23:59:59.999999+00:00"}
    assert tracker.requests == [("GET /costs", params)]


@pytest.mark.parametrize(
    "query",
    [
        {"period": "decade"},
        {"start_date": "2026-11-01"},
        {"end_date": "2026-11-01"},
        {"start_date": "2026-11-02", "end_date": "2026-11-01"},
        {"start_date": "soon", "end_date": "2026-11-01"},
        {"start_date": "9" * 50, "end_date": "2026-11-01"},
    ],
)
async def test_an_invalid_period_is_rejected(ada: User, tracker: FakeTracker, query: dict[str, str]):
    answer = await ada.get("/api/costs", params=query)

    assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")
    assert tracker.requests == []


async def test_notifications_are_read(ada: User, notifier: FakeNotifier):
    notification_id = notifier.hold_notification(ada.id)
    listed = await ada.get("/api/notifications", params={"unread": "true", "limit": 5})
    marked = await ada.patch(f"/api/notifications/{notification_id}/read")
    everything = await ada.post("/api/notifications/read-all")

    assert listed.json()["data"] == {
        "notifications": [{"type": "job_queued", "read": False, "user_id": str(ada.id)}],
        "unread_count": 1,
    }
    assert (marked.json()["success"], everything.json()["success"]) == (True, True)
    assert notifier.requests == [
        ("GET /notifications", {"unread": "true", "limit": "5"}),
        (f"PATCH /notifications/{notification_id}/read", {}),
        ("POST /notifications/read-all", {}),
    ]


@pytest.mark.parametrize("path", ["/api/costs", "/api/jobs"])
async def test_an_unavailable_peer_service_affects_only_its_pages(ada: User, tracker: FakeTracker, path: str):
    tracker.unavailable = True
    answer: Any = await ada.get(path)

    assert answer.status_code == (503 if path == "/api/costs" else 200)
