"""Who may ask the cluster what, and how it answers."""

import asyncio
import time
from urllib.parse import quote

import httpx
import pytest

from brightrun.cluster.downloads import file_urls
from brightrun.contracts.values import new_id
from tests.services.cluster.service import KEY, ClusterService
from tests.waiting import eventually


async def test_every_route_but_signed_files_needs_the_key(service: ClusterService) -> None:
    await service.start()
    paths = (await service.http.get("/openapi.json")).json()["paths"]
    opened = {"/training/files/{run_id}/{name}", "/training/checkpoints/{run_id}/{step}/{name}"}
    guarded = [(method, path) for path, methods in paths.items() for method in methods if path not in opened]
    assert len(guarded) == 13
    async with httpx.AsyncClient(base_url=service.http.base_url) as anonymous:
        for method, route in guarded:
            path = route.replace("{run_id}", "run_1").replace("{step}", "1")
            for header in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {KEY}"}):
                response = await anonymous.request(method, path, headers=header)
                assert response.status_code == 401, path
                assert response.json()["code"] == "unauthorized"


async def test_an_unknown_run_is_not_found(service: ClusterService) -> None:
    await service.start()
    for method, path in (
        ("GET", "status"),
        ("POST", "cancel"),
        ("POST", "stop"),
        ("GET", "artifacts"),
        ("GET", "checkpoints"),
        ("GET", "logs"),
    ):
        body = {"json": {"mode": "finish"}} if path == "stop" else {}
        response = await service.http.request(method, f"/training/{path}/run_unknown", **body)
        assert (response.status_code, response.json()["code"]) == (404, "not_found")


async def test_a_malformed_submission_names_its_fields(service: ClusterService) -> None:
    await service.start()
    response = await service.http.post(
        "/training/submit", json={"job_id": "x", "gpu_config": {"type": "CPU", "count": 9}}
    )
    assert response.status_code == 400
    assert {"job_id", "gpu_config.count", "dataset_url", "hyperparameters"} == set(response.json()["details"])


async def test_files_need_a_completed_run_and_an_unchanged_unexpired_url(service: ClusterService) -> None:
    await service.start(file_url_seconds=3600)
    run_id = await service.submit({"hold_at": 1})
    early = await service.http.get(f"/training/artifacts/{run_id}")
    assert (early.status_code, early.json()["code"]) == (409, "not_completed")
    service.release(run_id)
    await service.reaches(run_id, "completed")
    url = httpx.URL((await service.artifacts(run_id)).download_urls["adapter_model.safetensors"])

    assert (await service.http.get(url)).status_code == 200
    part = await service.http.get(url, headers={"range": "bytes=256-259"})
    assert (part.status_code, part.content) == (206, b"\0\1\2\3")
    tampered = (
        url.copy_set_param("expires", str(int(time.time()) + 99_999)),
        url.copy_set_param("expires", "soon"),
        url.copy_set_param("signature", "0" * 64),
        url.copy_set_param("signature", "é"),
        url.copy_remove_param("signature"),
        url.copy_with(path=url.path.replace("adapter_model.safetensors", "adapter_config.json")),
        url.copy_with(raw_path=url.raw_path.replace(b"adapter_model.safetensors", b"..%2Fspec.json")),
    )
    for wrong in tampered:
        assert (await service.http.get(wrong)).status_code == 403, wrong


async def test_even_a_signed_url_opens_only_files_of_the_run(service: ClusterService) -> None:
    await service.start()
    run_id = await service.submit()
    await service.reaches(run_id, "completed")
    for name in ("../spec.json", "/etc/passwd", "not_there"):
        query = file_urls.sign(KEY, run_id, name, int(time.time()) + 60)
        path = f"/training/files/{run_id}/{quote(name, safe='')}"
        assert (await service.http.get(path, params=query)).status_code == 404


async def test_an_expired_file_url_is_refused(service: ClusterService) -> None:
    await service.start(file_url_seconds=2)
    run_id = await service.submit()
    await service.reaches(run_id, "completed")

    async def served() -> str | None:
        url = (await service.artifacts(run_id)).download_urls["adapter_config.json"]
        return url if (await service.http.get(url)).status_code == 200 else None

    async def rejected() -> bool:
        return (await service.http.get(url)).status_code == 403

    url = await eventually(served)
    await eventually(rejected)


async def test_a_long_poll_returns_with_the_first_event(service: ClusterService) -> None:
    await service.start()
    waiting = asyncio.create_task(service.events(wait=20))
    assert not (await asyncio.wait({waiting}, timeout=0.3))[0]
    submitted_at = time.monotonic()
    run_id = await service.submit({"hold_at": 1})
    page = await waiting
    assert time.monotonic() - submitted_at < 1
    assert page.events[0].run.external_job_id == run_id
    assert page.cursor == page.events[-1].cursor


async def test_a_long_poll_without_events_times_out(service: ClusterService) -> None:
    await service.start()
    asked_at = time.monotonic()
    page = await service.events(wait=0.3)
    assert 0.3 <= time.monotonic() - asked_at < 2
    assert (page.events, page.cursor) == ((), 0)


async def test_long_polls_do_not_delay_a_graceful_stop(service: ClusterService) -> None:
    await service.start()
    waiting = asyncio.create_task(service.events(wait=20))
    assert not (await asyncio.wait({waiting}, timeout=0.3))[0]
    asked_at = time.monotonic()
    await service.stop()
    assert time.monotonic() - asked_at < 8  # far from both the poll and the server's own patience
    assert (await waiting).events == ()


@pytest.mark.parametrize("params", [{"wait": 21}, {"after": -1}])
async def test_long_polls_have_a_maximum(service: ClusterService, params: dict) -> None:
    await service.start()
    assert (await service.http.get("/training/events", params=params)).status_code == 400


async def test_a_page_of_events_is_bounded_and_the_next_one_follows(service: ClusterService) -> None:
    await service.start()
    run_id = await service.submit({"steps": 300})
    await service.reaches(run_id, "completed")
    first = await service.events()
    second = await service.events(after=first.cursor)
    assert len(first.events) == 500
    assert second.events[0].cursor == first.cursor + 1
    assert second.events[-1].run.status == "completed"


async def test_a_cursor_of_a_lost_database_counts_as_the_newest(service: ClusterService) -> None:
    await service.start()
    assert (await service.events(after=1_000)).cursor == 0


async def test_runs_are_listed_newest_first_and_found_by_attempt(service: ClusterService) -> None:
    await service.start(slots=2)
    job_id = new_id()
    first = await service.submit(job_id=job_id)
    await service.reaches(first, "completed")
    second = await service.submit({"hold_at": 1}, job_id=job_id, attempt=2)

    async def ids(**params: object) -> list[str]:
        response = await service.http.get("/training/runs", params=params)
        return [run["external_job_id"] for run in response.json()["runs"]]

    assert await ids() == [second, first]
    assert await ids(job_id=job_id, attempt=1) == [first]
    assert await ids(live=True) == [second]
    assert await ids(limit=1, page=2) == [first]
    assert await ids(job_id=new_id()) == []
    assert (await service.http.get("/training/runs")).json()["pagination"]["total"] == 2


async def test_capabilities_describe_the_cluster(service: ClusterService) -> None:
    await service.start(cluster_name="workshop")
    response = (await service.http.get("/training/capabilities")).json()
    assert response["name"] == "workshop"
    assert (response["executor"], response["simulated"]) == ("local", False)
    assert (response["gpu_types"], response["base_models"]) == (["CPU"], ["tiny"])
    assert (response["fetches_models"], response["max_gpus"]) == (False, {"CPU": 1})
    abilities = ("idempotent_submit", "events", "graceful_stop", "logs", "log_follow", "resume", "checkpoints")
    assert all(response[ability] for ability in (*abilities, "runs", "capacity"))
    assert response["stop_modes"] == ["checkpoint", "finish"]
