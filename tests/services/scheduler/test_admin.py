"""What operators see and decide, and what users see of their place in the queue."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from types import SimpleNamespace
from uuid import UUID

import httpx
import pytest
import pytest_asyncio

from brightrun.contracts.events import JobQueued
from brightrun.contracts.scheduling import ClusterCapacity, GpuLimit
from brightrun.contracts.training import GpuConfig
from brightrun.contracts.values import new_id, utc_now
from brightrun.runtime.tokens import issue
from tests.builders import UNKNOWN_ID
from tests.conftest import SECRET
from tests.services.scheduler.conftest import Scheduler
from tests.services.scheduler.fakes import FakeCluster

ROUTES = [
    ("GET", "/clusters"),
    ("GET", "/admin/clusters"),
    ("POST", "/admin/clusters/local/drain"),
    ("POST", "/admin/clusters/local/undrain"),
    ("GET", f"/admin/users/{UNKNOWN_ID}/share"),
    ("PUT", f"/admin/users/{UNKNOWN_ID}/share"),
    ("PUT", f"/admin/jobs/{UNKNOWN_ID}/priority"),
]


@pytest_asyncio.fixture
async def operator(scheduler: Scheduler) -> AsyncIterator[httpx.AsyncClient]:
    clusters = [SimpleNamespace(name=name, url=fake.url) for name, fake in scheduler.clusters.items()]
    async with scheduler.http(all_clusters=clusters, quota_gpus=2) as client:
        client.headers.update(_token(None))
        yield client


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a_request_without_a_token_is_rejected(operator: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await operator.request(method, path, headers={"authorization": ""}, json={})
    assert answer.status_code == 401


async def test_clusters_are_listed_with_gpus_and_attempts(
    scheduler: Scheduler, other: FakeCluster, operator: httpx.AsyncClient
) -> None:
    other.down = True
    await scheduler.queue_live(gpu=GpuConfig(type="CPU", count=3))
    local, second = _data(await operator.get("/admin/clusters"))
    assert (local["name"], local["url"], local["executor"]) == ("local", scheduler.cluster.url, "fake")
    assert local["gpus"] == [{"types": ["CPU"], "total": 8, "free": 8}]
    assert (local["submitting"], local["running"], local["problem"], local["drained_at"]) == (0, 1, None, None)
    assert datetime.fromisoformat(local["answered_at"]) > utc_now() - timedelta(minutes=1)
    assert (second["gpus"], second["running"]) == ([], 0)
    assert "503" in second["problem"]


async def test_what_each_cluster_can_run_is_listed_also_while_it_is_away(
    scheduler: Scheduler, other: FakeCluster, operator: httpx.AsyncClient
) -> None:
    scheduler.cluster.features |= {
        "base_models": ("tiny",),
        "fetches_models": False,
        "max_gpus": {"CPU": 8},
    }
    await scheduler.probe()
    other.down = True
    await scheduler.pass_time(hours=1)
    await scheduler.probe()
    here, away = [ClusterCapacity.model_validate(cluster) for cluster in _data(await operator.get("/clusters"))]
    assert here == ClusterCapacity(
        name="local",
        usable=True,
        gpus=[GpuLimit(types=["CPU"], free=8, max_total=8)],
        base_models=["tiny"],
        fetches_models=False,
        inputs=True,
    )
    assert not away.usable
    assert away.gpus == [GpuLimit(types=["H100"], free=4, max_total=4)]


async def test_what_each_configured_cluster_can_run_is_told_by_its_last_report(
    scheduler: Scheduler, other: FakeCluster, operator: httpx.AsyncClient
) -> None:
    other.down = True
    await scheduler.queue_live(gpu=GpuConfig(type="CPU", count=3))
    local, second = _data(await operator.get("/clusters"))
    assert (local["name"], local["usable"]) == ("local", True)
    assert local["gpus"] == [{"types": ["CPU"], "free": 8, "max_total": 8}]
    assert (second["gpus"], second["base_models"], second["usable"]) == (None, None, False)


async def test_a_cluster_is_drained_and_undrained(scheduler: Scheduler, operator: httpx.AsyncClient) -> None:
    assert (await operator.post("/admin/clusters/local/drain")).status_code == 200
    assert _data(await operator.get("/admin/clusters"))[0]["drained_at"]
    job = await scheduler.queue()
    assert not await scheduler.dispatch()
    assert (await operator.post("/admin/clusters/local/undrain")).status_code == 200
    await scheduler.dispatch()
    assert scheduler.cluster.submissions(job) == [1]
    assert (await operator.post("/admin/clusters/unknown/drain")).status_code == 404


async def test_a_users_share_is_set_and_read(scheduler: Scheduler, operator: httpx.AsyncClient) -> None:
    user = new_id()
    share = f"/admin/users/{user}/share"
    new = {"user_id": str(user), "weight": 1.0, "quota_gpus": 2, "gpus": 0}
    assert _data(await operator.get(share)) == new, "the share of an unknown user"
    changed = _data(await operator.put(share, json={"weight": 2.5, "quota_gpus": 4}))
    assert changed == new | {"weight": 2.5, "quota_gpus": 4}
    await scheduler.queue_live(user_id=user, gpu=GpuConfig(type="CPU", count=3))
    read = _data(await operator.get(share))
    assert read == {"user_id": str(user), "weight": 2.5, "quota_gpus": 4, "gpus": 3}
    await operator.put(share, json={})
    assert _data(await operator.get(share)) | {"gpus": 3} == read | {"weight": 1.0, "quota_gpus": 2}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"weight": 0}, "weight"),
        ({"weight": -1}, "weight"),
        ({"weight": 1e-300}, "weight"),
        ({"weight": "NaN"}, "weight"),
        ({"quota_gpus": -1}, "quota_gpus"),
        ({"quota_gpus": 10**9}, "quota_gpus"),
        ({"wieght": 1}, "wieght"),
    ],
)
async def test_an_invalid_share_is_rejected(operator: httpx.AsyncClient, body: dict, path: str) -> None:
    answer = await operator.put(f"/admin/users/{new_id()}/share", json=body)
    assert answer.status_code == 400
    assert path in answer.json()["details"]


async def test_a_jobs_priority_is_set(scheduler: Scheduler, operator: httpx.AsyncClient) -> None:
    scheduler.cluster.gpus = {"CPU": (8, 1)}
    first, second = await scheduler.queue(), await scheduler.queue()
    assert (await operator.put(f"/admin/jobs/{second.job_id}/priority", json={"priority": "urgent"})).status_code == 200
    await scheduler.dispatch()
    assert (scheduler.cluster.submissions(first), scheduler.cluster.submissions(second)) == ([], [1])
    refused = await operator.put(f"/admin/jobs/{first.job_id}/priority", json={"priority": "now"})
    assert refused.status_code == 400
    assert (await operator.put(f"/admin/jobs/{new_id()}/priority", json={"priority": "high"})).status_code == 404


async def test_a_user_sees_the_position_and_expected_start_of_a_waiting_job(
    scheduler: Scheduler, operator: httpx.AsyncClient
) -> None:
    scheduler.cluster.gpus = {"CPU": (2, 2)}
    running = await scheduler.queue_live(gpu=GpuConfig(type="CPU", count=2))
    scheduler.cluster.gpus = {"CPU": (2, 0)}
    ahead, mine = [await scheduler.queue(gpu=GpuConfig(type="CPU", count=2)) for _ in range(2)]
    await scheduler.probe()
    place = await _place(operator, mine)
    assert place == {"position": 2, "ahead_gpus": 2, "expected_start": None, "waits_for": "gpus"}
    assert await _place(operator, ahead) == place | {"position": 1, "ahead_gpus": 0}

    scheduler.cluster.report(running, "running", eta_seconds=600.0)
    await scheduler.pool.execute("UPDATE attempts SET expected_end = now() + interval '10 minutes'")
    start = datetime.fromisoformat((await _place(operator, ahead))["expected_start"])
    assert timedelta(minutes=9) < start - utc_now() < timedelta(minutes=10)
    assert (await _place(operator, mine))["expected_start"] is None, "no job has finished yet that would tell"


async def test_a_job_waits_for_its_users_quota(scheduler: Scheduler, operator: httpx.AsyncClient) -> None:
    scheduler.quota_gpus = 2
    user = new_id()
    await scheduler.queue_live(user_id=user, gpu=GpuConfig(type="CPU", count=2))
    waiting = await scheduler.queue(user_id=user)
    assert (await _place(operator, waiting))["waits_for"] == "quota"


async def test_a_job_waits_for_a_cluster_or_for_its_pause_to_end(
    scheduler: Scheduler, operator: httpx.AsyncClient
) -> None:
    elsewhere = await scheduler.queue(gpu=GpuConfig(type="H100"))
    assert (await _place(operator, elsewhere))["waits_for"] == "cluster"
    scheduler.cluster.outcomes.append("busy")
    pausing = await scheduler.queue()
    await scheduler.dispatch()
    nowhere = {"position": None, "ahead_gpus": None, "expected_start": None}
    assert await _place(operator, pausing) == nowhere | {"waits_for": "retry"}
    live = await scheduler.queue_live()
    assert await _place(operator, live) == nowhere | {"waits_for": None}


async def _place(client: httpx.AsyncClient, job: JobQueued) -> dict:
    return _data(await client.get(f"/jobs/{job.job_id}/queue", headers=_token(job.user_id)))


def _data(answer: httpx.Response):
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def _token(user: UUID | None) -> dict[str, str]:
    return {"authorization": f"Bearer {issue(SECRET, 'api', 'scheduler', user)}"}
