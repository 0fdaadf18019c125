"""What pages say and do."""

import asyncio
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest

from tests.services.web.fake_api import HOSTILE, ID, FakeApi, dataset, job

PAGES = (
    "/sign-in", "/sign-up", "/", "/datasets", f"/datasets/{ID}", "/jobs/new", f"/training/jobs/{ID}", "/models",
    f"/models/{ID}", "/notifications", "/nothing",
)  # fmt: skip
FORM = {"dataset_id": ID, "preset_id": "balanced", "gpu_type": "CPU", "gpu_count": "1", "estimated_cost": "1.25"}


class Outline(HTMLParser):
    """What assistive technology needs of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.language: str | None = None
        self.headings = self.scripts = self._labels = 0
        self.unlabelled: list[Any] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.headings += tag == "h1"
        self.scripts += tag == "script" and "src" not in attributes
        self._labels += tag == "label"
        if tag == "html":
            self.language = attributes.get("lang")
        field = tag in ("input", "select", "textarea", "progress") and attributes.get("type") != "hidden"
        if field and not self._labels and "aria-label" not in attributes:
            self.unlabelled.append((tag, attributes))

    def handle_endtag(self, tag: str) -> None:
        self._labels -= tag == "label"


@pytest.mark.parametrize("path", PAGES)
async def test_every_page_has_a_language_one_heading_and_labelled_fields(ada: httpx.AsyncClient, path: str) -> None:
    answer = await ada.get(path)
    outline = Outline(answer.text)
    assert answer.status_code == (404 if path == "/nothing" else 200)
    assert outline.language == "en"
    assert outline.headings == 1
    assert outline.unlabelled == []


@pytest.mark.parametrize("path", PAGES)
async def test_names_are_text_and_never_markup(ada: httpx.AsyncClient, path: str) -> None:
    html = (await ada.get(path)).text
    assert HOSTILE not in html
    assert Outline(html).scripts == 0
    if ID in path:
        assert "&lt;script&gt;alert(1)" in html


async def test_a_new_user_sees_the_first_steps(ada: httpx.AsyncClient, api: FakeApi) -> None:
    api.datasets = []
    assert "Training needs a data set" in (await ada.get("/jobs/new")).text
    assert "Nothing here yet" in (await ada.get("/datasets")).text


async def test_an_upload_is_streamed_on_while_it_comes(ada: httpx.AsyncClient, api: FakeApi) -> None:
    async def file() -> Any:
        yield b"first"
        await asyncio.wait_for(api.first_chunk.wait(), 10)
        yield b"x" * 200_000

    answer = await ada.post("/datasets", params={"name": "my data"}, content=file())
    assert answer.status_code == 201
    assert len(api.uploaded) == 200_005
    assert ("POST", "/api/datasets", {"name": "my data"}) in api.calls


async def test_a_refused_upload_is_explained_to_the_script(ada: httpx.AsyncClient, api: FakeApi) -> None:
    api.refusal = {"error": "This name is taken.", "code": "taken", "details": None}
    answer = await ada.post("/datasets?name=x", content=b"{}", headers={"accept": "application/json"})
    assert (answer.status_code, answer.json()["error"]) == (409, "This name is taken.")


async def test_errors_of_a_data_set_are_shown_with_their_lines(ada: httpx.AsyncClient, api: FakeApi) -> None:
    api.datasets = [dataset(status="invalid", training_ready=False, error_count=61)]
    html = (await ada.get(f"/datasets/{ID}")).text
    assert "61 errors" in html
    assert "<td>7</td><td><code>$.messages</code></td>" in html
    assert 'href="?page=2"' in html


@pytest.mark.parametrize(("status", "over"), [("validating", False), ("ready", True)])
async def test_data_sets_are_refreshed_until_all_are_checked(
    ada: httpx.AsyncClient, api: FakeApi, status: str, over: bool
) -> None:
    api.datasets = [dataset(status=status)]
    assert (await ada.get("/datasets/live")).json()["over"] is over


async def test_the_estimate_is_on_the_form_and_follows_the_choice(ada: httpx.AsyncClient, api: FakeApi) -> None:
    page = (await ada.get("/jobs/new")).text
    assert 'name="estimated_cost" value="1.25"' in page
    assert "CPU" in page
    assert "H100" not in page, "no cluster can ever run it"
    answer = await ada.get("/jobs/estimate", params=FORM | {"gpu_count": "2"})
    assert "$1.25" in answer.json()["html"]
    _, path, body = api.calls[-1]
    assert path == "/api/jobs/estimate"
    assert body["gpu_config"] == {"type": "CPU", "count": 2}
    assert body["hyperparameters"]["rank"] == 16


async def test_an_impossible_choice_is_explained_to_the_script(ada: httpx.AsyncClient) -> None:
    wrong = FORM | {"gpu_count": "9"}
    answer = await ada.get("/jobs/estimate", params=wrong, headers={"accept": "application/json"})
    assert answer.status_code == 400
    assert "gpu_count" in answer.json()["error"]


async def test_a_job_is_submitted_at_the_price_that_was_shown(ada: httpx.AsyncClient, api: FakeApi) -> None:
    answer = await ada.post("/jobs/new", data=FORM | {"name": ""})
    assert answer.headers["location"] == f"/training/jobs/{ID}"
    assert ("POST", "/api/jobs", {
        "dataset_id": ID, "gpu_config": {"type": "CPU", "count": 1}, "preset_id": "balanced", "estimated_cost": 1.25,
    }) in api.calls  # fmt: skip


async def test_a_rejected_job_keeps_the_form_and_shows_the_errors(ada: httpx.AsyncClient, api: FakeApi) -> None:
    api.refusal = {"error": "The estimate has changed.", "code": "estimate_changed", "details": {"estimated_cost": 2}}
    answer = await ada.post("/jobs/new", data=FORM | {"name": "mine"})
    assert answer.status_code == 409
    assert "The estimate has changed." in answer.text
    assert 'value="mine"' in answer.text


async def test_a_live_job_can_be_followed(ada: httpx.AsyncClient, api: FakeApi) -> None:
    news = (await ada.get(f"/training/jobs/{ID}/live")).json()
    assert (news["status"], news["over"], news["points"]) == ("running", False, [[1, 4.5, None]])
    assert "42 of 100" in news["html"]
    assert "$0.0421" in news["html"]
    api.job = job(status="completed", artifact_id=ID, final_cost=0.5)
    news = (await ada.get(f"/training/jobs/{ID}/live")).json()
    assert news["over"]
    assert f'href="/models/{ID}"' in news["html"]


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ({"position": 3, "waits_for": "gpus"}, "Place 3 in the queue<"),
        (
            {"position": 3, "waits_for": "gpus", "starts_in": 8},
            "Place 3 in the queue, expected to start in about 8 min<",
        ),
        ({"position": 1, "waits_for": "gpus", "starts_in": -5}, "expected to start in about 1 min<"),
        ({"position": 1, "waits_for": "gpus", "starts_in": 125}, "about 2 h 5 min<"),
        ({"position": 1, "waits_for": "quota"}, "they use all the GPUs that you may have"),
        ({"position": 1, "waits_for": "cluster"}, "Waits for a cluster"),
    ],
)
async def test_a_waiting_job_shows_the_reason(ada: httpx.AsyncClient, api: FakeApi, place: Any, text: str) -> None:
    api.job = job(status="queued", current_stage="queued")
    if minutes := place.pop("starts_in", None):
        place["expected_start"] = (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat()
    api.place |= place
    assert text in (await ada.get(f"/training/jobs/{ID}")).text
    assert text in (await ada.get(f"/training/jobs/{ID}/live")).json()["html"]


@pytest.mark.parametrize("status", ["queued", "running"])
async def test_a_job_without_a_place_in_the_queue_shows_none(ada: httpx.AsyncClient, api: FakeApi, status: str) -> None:
    api.job = job(status=status)
    if status == "queued":
        api.unavailable = {f"/api/jobs/{ID}/queue"}
    else:
        api.place |= {"position": 1, "waits_for": "gpus"}
    answer = await ada.get(f"/training/jobs/{ID}")
    assert answer.status_code == 200
    assert "in the queue" not in answer.text


async def test_a_failed_job_shows_its_error_and_advice(ada: httpx.AsyncClient, api: FakeApi) -> None:
    api.job = job(status="failed", error={"message": "Out of memory.", "advice": "Take a smaller batch."})
    html = (await ada.get(f"/training/jobs/{ID}")).text
    assert "Out of memory." in html
    assert "Take a smaller batch." in html
    assert "Cancel job" not in html


async def test_cancelling_asks_the_api_and_returns_to_the_job(ada: httpx.AsyncClient, api: FakeApi) -> None:
    assert "<dialog" in (await ada.get(f"/training/jobs/{ID}")).text
    answer = await ada.post(f"/training/jobs/{ID}/cancel")
    assert answer.headers["location"] == f"/training/jobs/{ID}"
    assert ("POST", f"/api/jobs/{ID}/cancel", None) in api.calls


async def test_a_job_that_runs_can_be_paused_and_a_paused_one_resumed_or_cancelled(
    ada: httpx.AsyncClient, api: FakeApi
) -> None:
    for status, action, other in (("running", "pause", "resume"), ("paused", "resume", "pause")):
        api.job["status"] = status
        html = (await ada.get(f"/training/jobs/{ID}")).text
        assert f"/{ID}/{action}" in html
        assert f"/{ID}/{other}" not in html
        assert "Cancel job" in html
        answer = await ada.post(f"/training/jobs/{ID}/{action}")
        assert answer.headers["location"] == f"/training/jobs/{ID}"
        assert ("POST", f"/api/jobs/{ID}/{action}", None) in api.calls


async def test_a_model_shows_how_good_it_is_and_leads_to_its_files(ada: httpx.AsyncClient, api: FakeApi) -> None:
    html = (await ada.get(f"/models/{ID}")).text
    for shown in ("4 of 5 stars", "Loss fell by half.", "4.200", "1.100", "2.0 kB"):
        assert shown in html
    for shown in ("My chain slips.", "Measure the wear.", "--enable-lora --max-lora-rank 32", "It needs a rank."):
        assert shown in html
    answer = await ada.get(f"/models/{ID}/files/adapter.bin")
    assert answer.headers["location"] == "http://store.test/adapter.bin?signature=abc"
    assert api.calls[-1][2] == {"files": ["adapter.bin"]}


async def test_a_job_shows_checkpoints_that_can_be_downloaded_and_until_when(
    ada: httpx.AsyncClient, api: FakeApi
) -> None:
    api.checkpoints = [
        {"id": "1-40", "step": 40, "available": True, "available_until": None},
        {"id": "1-30", "step": 30, "available": True, "available_until": "2026-12-04T09:00:00Z"},
        {"id": "1-20", "step": 20, "available": False, "available_until": None},
        {"id": "1-10", "step": 10, "available": None, "available_until": None},
    ]
    page = (await ada.get(f"/training/jobs/{ID}")).text
    assert "Step 40, until newer ones replace it" in page
    assert 'Step 30, kept until <time datetime="2026-12-04T09:00:00Z">' in page
    assert "Step 20" not in page
    assert "Step 10" not in page
    link = f"/training/jobs/{ID}/checkpoints/1-40/files/adapter_model.safetensors"
    assert f'href="{link}"' in page
    answer = await ada.get(link, follow_redirects=False)
    assert answer.headers["location"] == "http://store.test/adapter_model.safetensors?signature=abc"
    path = f"/api/jobs/{ID}/checkpoints/1-40/download"
    assert api.calls[-1] == ("POST", path, {"files": ["adapter_model.safetensors"]})

    api.unavailable = {f"/api/jobs/{ID}/checkpoints"}
    answer = await ada.get(f"/training/jobs/{ID}")
    assert (answer.status_code, "Checkpoints" in answer.text) == (200, False)


async def test_notifications_are_counted_and_marked_as_read(ada: httpx.AsyncClient, api: FakeApi) -> None:
    assert '<span class="count">3' in (await ada.get("/")).text
    for path, call in ((f"/{ID}/read", "PATCH"), ("/read-all", "POST")):
        answer = await ada.post(f"/notifications{path}")
        assert answer.headers["location"] == "/notifications"
        assert (call, f"/api/notifications{path}", None) in api.calls
