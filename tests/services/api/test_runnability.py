"""What no cluster can ever run is refused at submission; the estimate says why."""

from typing import Any

import pytest
from fastapi import FastAPI

from brightrun.runtime.database import Pool
from tests.services.api.conftest import User, outbox_topics, submission, validated_dataset
from tests.services.api.fakes import FakeScheduler

LOCAL = {
    "name": "local",
    "gpus": [{"types": ["CPU"], "free": 1, "max_total": 2}],
    "base_models": ["tiny"],
    "usable": True,
}
SPEC = {"batch_size": 4, "epochs": 3, "learning_rate": 0.0002, "rank": 16}


async def report(app: FastAPI, scheduler: FakeScheduler, *clusters: dict[str, Any]) -> None:
    scheduler.capacity = list(clusters)
    await app.state.clients.cluster_reports.refresh()


@pytest.mark.parametrize(
    ("changes", "field", "known"),
    [
        ({"gpu_config": {"type": "H100", "count": 1}}, "gpu_config.type", "CPU"),
        ({"gpu_config": {"type": "CPU", "count": 3}}, "gpu_config.count", "2 × CPU"),
        ({"hyperparameters": SPEC | {"base_model": "gpt2"}}, "hyperparameters.base_model", "tiny"),
    ],
)
async def test_a_job_that_no_cluster_can_run_is_refused_and_estimated_all_the_same(
    app: FastAPI, ada: User, pool: Pool, scheduler: FakeScheduler, *, changes: dict[str, Any], field: str, known: str
):
    await report(app, scheduler, LOCAL)
    body = submission(await validated_dataset(pool, ada), hyperparameters=SPEC, gpu_config={"type": "CPU", "count": 1})
    refused = await ada.post("/api/jobs", json=body | changes)

    assert (refused.status_code, refused.json()["code"]) == (400, "not_runnable")
    assert refused.json()["details"].keys() == {field}
    assert known in refused.json()["details"][field][0]
    assert await outbox_topics(pool) == []
    request = {name: value for name, value in (body | changes).items() if name != "preset_id"}
    estimate = (await ada.post("/api/jobs/estimate", json=request)).json()["data"]
    assert (estimate["runnable"], estimate["not_runnable"]) == (False, refused.json()["details"])
    assert estimate["estimated_cost"] > 0

    assert (await ada.post("/api/jobs", json=body)).status_code == 201
    request = {name: value for name, value in body.items() if name != "preset_id"}
    estimate = (await ada.post("/api/jobs/estimate", json=request)).json()["data"]
    assert (estimate["runnable"], estimate["not_runnable"]) == (True, {})


async def test_what_no_cluster_can_run_is_reported_with_all_other_problems(
    app: FastAPI, ada: User, pool: Pool, scheduler: FakeScheduler
):
    await report(app, scheduler, LOCAL)
    spec = SPEC | {"base_model": "gpt2", "max_cost": 0.1, "quantization": "nf4"}
    body = submission(await validated_dataset(pool, ada), hyperparameters=spec, gpu_config={"type": "CPU", "count": 3})
    answer = await ada.post("/api/jobs", json=body)

    assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")
    wrong = {"gpu_config.count", *(f"hyperparameters.{name}" for name in ("base_model", "max_cost", "quantization"))}
    assert answer.json()["details"].keys() == wrong


@pytest.mark.parametrize("name", ["/etc", "../../x", "https://example.com/model", "a/b/c", "a//b", "..\\x", "owner/.."])
async def test_a_path_or_url_is_no_base_model_whatever_the_clusters_report(ada: User, pool: Pool, name: str):
    body = submission(await validated_dataset(pool, ada), hyperparameters={"base_model": name})
    answer = await ada.post("/api/jobs", json=body)

    assert (answer.status_code, answer.json()["code"]) == (400, "untrainable")
    assert "is no name of a model" in answer.json()["details"]["hyperparameters.base_model"][0]


async def test_a_cluster_that_is_away_is_judged_by_its_last_report(
    app: FastAPI, ada: User, pool: Pool, scheduler: FakeScheduler
):
    body = submission(await validated_dataset(pool, ada), gpu_config={"type": "H100", "count": 1})
    away = LOCAL | {"name": "away", "gpus": [{"types": ["H100"], "free": 8, "max_total": 8}], "usable": False}
    await report(app, scheduler, LOCAL, away)
    assert (await ada.post("/api/jobs", json=body)).status_code == 201

    await report(app, scheduler, LOCAL, {"name": "new", "gpus": None, "base_models": None, "usable": False})
    assert (await ada.post("/api/jobs", json=body)).status_code == 201

    await report(app, scheduler, LOCAL)
    scheduler.unavailable, scheduler.capacity = True, []
    await app.state.clients.cluster_reports.refresh()
    assert (await ada.post("/api/jobs", json=body)).status_code == 400


async def test_gpus_and_base_models_say_when_they_are_available(app: FastAPI, ada: User, scheduler: FakeScheduler):
    async def available(path: str, name: str) -> dict[str, str]:
        items = (await ada.get(f"/api/{path}")).json()["data"][path.replace("-", "_")]
        return {item[name]: item["available"] for item in items}

    assert set((await available("gpus", "type")).values()) == {"later"}
    await report(app, scheduler, LOCAL, LOCAL | {"gpus": [{"types": ["H100"], "free": 0, "max_total": 8}]})
    gpus = await available("gpus", "type")
    assert (gpus["CPU"], gpus["H100"], gpus["V100-32GB"]) == ("now", "later", "never")
    assert (await available("base-models", "name"))["tiny"] == "now"
