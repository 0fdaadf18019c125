"""A job's place in the queue, and what admins decide about clusters, shares and priorities. Ada is the admin."""

from typing import Any
from uuid import UUID

import pytest

from brightrun.contracts.values import new_id
from brightrun.runtime.database import Pool
from tests.services.api.conftest import User
from tests.services.api.fakes import Fakes, FakeScheduler
from tests.services.api.objects import Objects

NOWHERE = {"position": None, "ahead_gpus": None, "expected_start": None, "waits_for": None}
PLACE = {"position": 2, "ahead_gpus": 4, "expected_start": "2026-11-24T12:30:00Z", "waits_for": "gpus"}


async def data(request: Any) -> Any:
    answer = await request
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def refusal(request: Any) -> tuple[int, str]:
    answer = await request
    return answer.status_code, answer.json()["code"]


async def test_a_job_has_a_queue_position_once_the_scheduler_knows_it(ada: User, eve: User, pool: Pool, fakes: Fakes):
    job_id = await Objects(eve, pool, fakes).job()
    assert await data(eve.get(f"/api/jobs/{job_id}/queue")) == NOWHERE

    fakes.scheduler.hold_job(eve.id, job_id, **PLACE)
    assert await data(eve.get(f"/api/jobs/{job_id}/queue")) == PLACE
    before = len(fakes.scheduler.requests)
    assert await refusal(ada.get(f"/api/jobs/{job_id}/queue")) == (404, "not_found")
    assert len(fakes.scheduler.requests) == before, "the gateway knows whose job it is"


async def test_an_unavailable_scheduler_answers_503(ada: User, pool: Pool, fakes: Fakes):
    job_id = await Objects(ada, pool, fakes).job()
    fakes.scheduler.unavailable = True

    assert await refusal(ada.get(f"/api/jobs/{job_id}/queue")) == (503, "unavailable")
    assert await refusal(ada.get("/api/admin/clusters")) == (503, "unavailable")


async def test_clusters_are_listed_drained_and_undrained(ada: User, scheduler: FakeScheduler):
    (cluster,) = (await data(ada.get("/api/admin/clusters")))["clusters"]
    assert cluster == scheduler.cluster("tiny")

    await data(ada.post("/api/admin/clusters/tiny/drain"))
    assert scheduler.clusters["tiny"]["drained_at"]
    await data(ada.post("/api/admin/clusters/tiny/undrain"))
    assert scheduler.clusters["tiny"]["drained_at"] is None
    assert await refusal(ada.post("/api/admin/clusters/other/drain")) == (404, "not_found")


@pytest.mark.parametrize("name", ["%2E%2E", ".", "a%20b", "x" * 65])
async def test_an_invalid_cluster_name_is_not_passed_on(ada: User, scheduler: FakeScheduler, name: str):
    for action in ("drain", "undrain"):
        assert (await ada.post(f"/api/admin/clusters/{name}/{action}")).status_code in (400, 404, 405)
    assert scheduler.clusters["tiny"]["drained_at"] is None


async def test_a_users_share_is_set_and_read(ada: User, eve: User, scheduler: FakeScheduler):
    path = f"/api/admin/users/{eve.id}/share"
    new = {"user_id": str(eve.id), "weight": 1.0, "quota_gpus": None, "gpus": 0}
    assert await data(ada.get(path)) == new

    changed = new | {"weight": 2.5, "quota_gpus": 8}
    assert await data(ada.put(path, json={"weight": 2.5, "quota_gpus": 8})) == changed
    assert await data(ada.get(path)) == changed
    assert await data(ada.put(path, json={})) == new


async def test_an_unknown_user_has_no_share(ada: User, scheduler: FakeScheduler):
    path = f"/api/admin/users/{new_id()}/share"

    assert await refusal(ada.get(path)) == (404, "not_found")
    assert await refusal(ada.put(path, json={"weight": 2})) == (404, "not_found")
    assert scheduler.shares == {}


async def test_all_that_is_wrong_with_a_share_is_named(ada: User, eve: User, scheduler: FakeScheduler):
    body = {"weight": 0, "quota_gpus": -1, "wieght": 1}
    answer = await ada.put(f"/api/admin/users/{eve.id}/share", json=body)

    assert answer.status_code == 400
    assert answer.json()["details"].keys() == body.keys()
    assert scheduler.shares == {}


@pytest.mark.parametrize("priority", ["low", "normal", "high", "urgent"])
async def test_a_job_that_waits_is_moved(ada: User, eve: User, scheduler: FakeScheduler, priority: str):
    job_id: UUID = new_id()
    path, body = f"/api/admin/jobs/{job_id}/priority", {"priority": priority}
    assert await refusal(ada.put(path, json=body)) == (404, "not_found")

    scheduler.hold_job(eve.id, job_id)
    await data(ada.put(path, json=body))
    assert scheduler.priorities == {job_id: priority}


async def test_a_priority_that_does_not_exist_is_refused(ada: User, scheduler: FakeScheduler):
    assert await refusal(ada.put(f"/api/admin/jobs/{new_id()}/priority", json={"priority": "now"})) == (
        400,
        "validation_error",
    )
