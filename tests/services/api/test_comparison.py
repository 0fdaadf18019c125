"""Curves of several jobs over one axis."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from brightrun.contracts.values import new_id
from brightrun.runtime.database import Pool
from tests.builders import NOON, job_completed, job_paused, job_progress, job_started, pricing
from tests.services.api.conftest import User, submission, validated_dataset
from tests.services.api.fakes import FakeTracker
from tests.services.slices import deliver

MINUTE = timedelta(minutes=1)


def _point(step: int, minutes: float, **values: float | None) -> dict[str, Any]:
    moment = (NOON + minutes * MINUTE).isoformat()
    return {"step": step, "timestamp": moment, "training_loss": None, "validation_loss": None} | values


async def _job(user: User, pool: Pool, name: str = "a job") -> UUID:
    dataset_id = await validated_dataset(pool, user)
    answer = await user.post("/api/jobs", json=submission(dataset_id, name=name))
    return UUID(answer.json()["data"]["id"])


async def _compare(user: User, *jobs: UUID, **params: str) -> dict[str, Any]:
    answer = await user.get("/api/metrics", params={"jobs": ",".join(map(str, jobs))} | params)
    assert answer.status_code == 200, answer.text
    comparison: dict[str, Any] = answer.json()["data"]
    return comparison


async def _x(user: User, job: UUID, axis: str) -> list[float]:
    [series] = (await _compare(user, job, names="training_loss", x=axis))["series"]
    return [round(place, 4) for place in series["x"]]


async def test_each_job_has_a_series_of_each_quantity(ada: User, pool: Pool, tracker: FakeTracker):
    first, second = await _job(ada, pool, "first"), await _job(ada, pool, "second")
    tracker.points = [_point(1, 0, training_loss=2.5), _point(2, 1, training_loss=2.0, validation_loss=2.2)]
    comparison = await _compare(ada, second, first)
    assert [(job["id"], job["name"], job["status"]) for job in comparison["jobs"]] == [
        (str(second), "second", "queued"),
        (str(first), "first", "queued"),
    ]
    losses = [("training_loss", [1, 2], [2.5, 2.0]), ("validation_loss", [2], [2.2])]
    assert [(each["job_id"], each["name"], each["x"], each["y"]) for each in comparison["series"]] == [
        (str(job), *loss) for job in (second, first) for loss in losses
    ]
    assert tracker.requests[-1][1]["max_points"] == "500"


async def test_a_pause_takes_neither_time_nor_money(ada: User, pool: Pool, tracker: FakeTracker):
    job = await _job(ada, pool)
    of_job: dict[str, Any] = {"job_id": job, "user_id": ada.id, "pricing": pricing("6.0000", "0.5000")}
    await pool.execute("UPDATE jobs SET pricing = $2 WHERE id = $1", job, of_job["pricing"].model_dump(mode="json"))
    started = {"job_id": job, "user_id": ada.id}
    ended = {"started_at": NOON, "finished_at": NOON + 2 * MINUTE}
    await deliver("api", pool, job_started(**started, attempt=1), job_paused(**of_job, attempt=1, **ended))
    tracker.points = [_point(1, 1, training_loss=2.5), _point(2, 61, training_loss=2.0)]
    resumed = {"attempt": 2, "seq": 1, "started_at": NOON + 60 * MINUTE, "step": 2, "trained_tokens": 800}
    await deliver("api", pool, job_started(**started, attempt=2), job_progress(**started, **resumed))
    assert await _x(ada, job, "time") == [60, 180]
    assert await _x(ada, job, "cost") == [0.1, 0.3]
    assert await _x(ada, job, "tokens") == [400, 800]

    [segment] = job_paused(**of_job, attempt=1, **ended).billed
    last = {"attempt": 2, "started_at": NOON + 60 * MINUTE, "finished_at": NOON + 62 * MINUTE}
    await deliver("api", pool, job_completed(**of_job, **last, segments=(segment,)))
    assert await _x(ada, job, "time") == [60, 180], "the same once it is over"


async def test_before_anything_is_measured_series_are_empty(ada: User, pool: Pool, tracker: FakeTracker):
    job = await _job(ada, pool)
    assert await _x(ada, job, "tokens") == []
    tracker.knows_job = False
    assert [series["x"] for series in (await _compare(ada, job))["series"]] == [[], []]


async def test_jobs_of_others_cannot_be_compared(ada: User, eve: User, pool: Pool):
    jobs = [str(await _job(eve, pool)), str(await _job(ada, pool))]
    assert (await eve.get("/api/metrics", params={"jobs": ",".join(jobs)})).status_code == 404


async def test_without_the_tracker_there_is_no_comparison(ada: User, pool: Pool, tracker: FakeTracker):
    job = await _job(ada, pool)
    tracker.unavailable = True
    assert (await ada.get("/api/metrics", params={"jobs": str(job)})).status_code == 503


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({}, "jobs"),
        ({"jobs": ""}, "jobs"),
        ({"jobs": "one"}, "jobs"),
        ({"jobs": ",".join([str(new_id())] * 2)}, "jobs"),
        ({"jobs": ",".join(str(new_id()) for _ in range(9))}, "jobs"),
        ({"jobs": str(new_id()), "names": "training_loss,beauty"}, "names"),
        ({"jobs": str(new_id()), "x": "days"}, "x"),
        ({"jobs": str(new_id()), "max_points": "1e3"}, "max_points"),
        ({"jobs": str(new_id()), "smooth": "1"}, "smooth"),
    ],
)
async def test_what_cannot_be_compared_is_named(ada: User, params: dict[str, str], field: str):
    answer = await ada.get("/api/metrics", params=params)
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")
    assert list(answer.json()["details"]) == [field]
