"""Checkpoints are listed with how long they can be had, downloaded, and started from."""

import asyncio
import os
import signal
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from httpx import Response
from pydantic import SecretStr

from brightrun.api.checkpoints import actions
from brightrun.api.http.clients import open_clients
from brightrun.api.settings import Settings
from brightrun.contracts.errors import CheckpointsUnsupported, ClusterUnavailable, ServiceError, TooManyCopies
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.values import new_id, utc_now
from brightrun.local.engines import Postgres
from brightrun.runtime.database import Pool
from tests.builders import job_completed, job_started
from tests.services.api.conftest import User, submission, validated_dataset
from tests.services.api.fakes import FakeArtifacts, FakeTracker
from tests.services.slices import deliver

Json = dict[str, Any]
VALUES = ("training_loss", "token_accuracy", "validation_loss", "validation_token_accuracy")
DAY = timedelta(days=1)


def saved(attempt: int, step: int) -> Json:
    """As the tracker lists it."""
    return {
        "id": f"{attempt}-{step}",
        "attempt": attempt,
        "step": step,
        "saved_at": "2026-11-24T12:00:00Z",
    } | dict.fromkeys(VALUES, 0.5)


@pytest.fixture
async def job(ada: User, pool: Pool, artifacts: FakeArtifacts, tracker: FakeTracker) -> Json:
    """Its two attempts saved four checkpoints, of which two are on their cluster."""
    answer = await ada.post("/api/jobs", json=submission(await validated_dataset(pool, ada), name="Harbour"))
    submitted: Json = answer.json()["data"]
    for attempt in (2, 1):
        run = {"attempt": attempt, "external_job_id": f"run-{attempt}", "cluster": "local"}
        await deliver("api", pool, job_started(job_id=UUID(submitted["id"]), user_id=ada.id, **run))
    tracker.saved = [saved(2, 40), saved(2, 30), saved(1, 20), saved(1, 10)]
    artifacts.on_clusters = {"run-1": {20: utc_now() + DAY}, "run-2": {40: None}}
    return submitted


async def download(user: User, job: Json, checkpoint: str = "1-20") -> Response:
    return await user.post(f"/api/jobs/{job['id']}/checkpoints/{checkpoint}/download")


async def listed(user: User, job: Json, **params: Any) -> dict[str, Json]:
    found = (await user.get(f"/api/jobs/{job['id']}/checkpoints", params=params)).json()["data"]["checkpoints"]
    return {checkpoint["id"]: checkpoint for checkpoint in found}


async def expire(pool: Pool, settings: Settings) -> None:
    async with open_clients(settings) as clients:
        while await actions.delete_expired_copy(pool, clients):
            pass


async def test_the_list_tells_how_long_each_checkpoint_can_be_had(
    ada: User, job: Json, artifacts: FakeArtifacts, tracker: FakeTracker
):
    found = await listed(ada, job)
    assert {name: checkpoint["available"] for name, checkpoint in found.items()} == {
        "2-40": True,
        "2-30": False,
        "1-20": True,
        "1-10": False,
    }
    until = found["1-20"]["available_until"]
    assert datetime.fromisoformat(until) == artifacts.on_clusters["run-1"][20]
    assert [found[name]["available_until"] for name in ("2-40", "2-30", "1-10")] == [None, None, None]
    assert {name: found["1-20"][name] for name in tracker.saved[2]} == tracker.saved[2]

    artifacts.unavailable = True
    assert {checkpoint["available"] for checkpoint in (await listed(ada, job)).values()} == {None}


async def test_checkpoints_are_paged(ada: User, job: Json, tracker: FakeTracker):
    page = list(await listed(ada, job, limit=3))
    assert page + list(await listed(ada, job, after=page[-1])) == [checkpoint["id"] for checkpoint in tracker.saved]
    refused = await ada.get(f"/api/jobs/{job['id']}/checkpoints", params={"after": "x", "limit": 101})
    assert (refused.status_code, set(refused.json()["details"])) == (400, {"after", "limit"})


async def test_a_checkpoint_is_copied_once_and_downloaded_by_signed_urls(
    ada: User, job: Json, artifacts: FakeArtifacts
):
    first = await download(ada, job)
    assert first.status_code == 200
    assert first.json()["data"]["download_urls"].keys() == {"adapter_config.json", "adapter_model.safetensors"}
    artifacts.on_clusters = {}
    assert (await download(ada, job)).json() == first.json()
    url = f"/api/jobs/{job['id']}/checkpoints/1-20/download"
    weights = await ada.post(url, json={"files": ["adapter_model.safetensors"]})
    assert weights.json()["data"]["download_urls"].keys() == {"adapter_model.safetensors"}
    assert (await ada.post(url, json={"names": []})).status_code == 400
    (copy,) = artifacts.copies
    assert (str(copy.job_id), copy.attempt, copy.step) == (job["id"], 1, 20)
    assert (copy.cluster, copy.external_job_id, copy.name) == ("local", "run-1", "Harbour · step 20")
    assert copy.spec.model_dump(mode="json")["rank"] == job["hyperparameters"]["rank"]

    checkpoint = (await listed(ada, job))["1-20"]
    assert (checkpoint["available"], checkpoint["model_id"]) == (True, first.json()["data"]["model_id"])
    kept = datetime.fromisoformat(checkpoint["available_until"]) - utc_now()
    assert timedelta(days=29) < kept < timedelta(days=30)


@pytest.mark.parametrize(
    ("checkpoint", "expected"),
    [
        ("1-10", (410, "checkpoint_gone")),
        ("3-10", (404, "checkpoint_not_found")),
        ("1-" + "9" * 15, (410, "checkpoint_gone")),
        ("1-" + "9" * 16, (400, "validation_error")),
        ("20", (400, "validation_error")),
        ("1-20.tar", (400, "validation_error")),
    ],
)
async def test_a_checkpoint_that_does_not_exist_is_refused(
    ada: User, job: Json, checkpoint: str, expected: tuple[int, str]
):
    answer = await download(ada, job, checkpoint)
    assert (answer.status_code, answer.json()["code"]) == expected


@pytest.mark.parametrize("error", [CheckpointsUnsupported, ClusterUnavailable, TooManyCopies])
async def test_the_reason_why_a_checkpoint_cannot_be_copied_is_passed_on(
    ada: User, job: Json, artifacts: FakeArtifacts, error: type[ServiceError]
):
    artifacts.copy_error = error()
    answer = await download(ada, job)
    assert (answer.status_code, answer.json()["code"]) == (error.status, error.code)
    assert answer.headers.get("retry-after") == error.headers.get("Retry-After")


async def test_a_copy_that_takes_long_is_found_again(
    ada: User, job: Json, artifacts: FakeArtifacts, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(actions, "WAIT_SECONDS", 0)
    artifacts.copy_status = "pending"
    answer = await download(ada, job)
    assert (answer.status_code, answer.json()["code"]) == (409, "checkpoint_pending")
    assert (answer.headers["retry-after"], "x-should-retry" in answer.headers) == ("5", False)
    assert (await listed(ada, job))["1-20"]["model_id"] is None
    (model_id,) = artifacts.models
    artifacts.model_fields[model_id]["status"] = "stored"
    assert (await download(ada, job)).json()["data"]["model_id"] == str(model_id)


@pytest.mark.parametrize("moment", ["checkpoint.reserved", "checkpoint.requested"])
async def test_a_copy_that_a_killed_process_began_is_found_again_or_expires(
    *, ada: User, pool: Pool, postgres: Postgres, settings: Settings, job: Json, artifacts: FakeArtifacts, moment: str
):
    values = settings.model_copy(update={"database_url": postgres.url("api")}).model_dump(exclude_defaults=True)
    environment = {f"BRIGHTRUN_{name.upper()}": _text(value) for name, value in values.items()}
    script = str(Path(__file__).parent / "copy_once.py")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, script, str(ada.id), job["id"], "1", "20"),
        env=os.environ | environment | {"FAILPOINT": moment},
    )
    assert await process.wait() == -signal.SIGKILL
    assert len(artifacts.models) == (moment == "checkpoint.requested")
    (began,) = await pool.fetch("SELECT model_id, stored FROM checkpoint_copies")
    assert not began["stored"]
    assert (await download(ada, job)).json()["data"]["model_id"] == str(began["model_id"])
    assert len(artifacts.copies) == 1

    await pool.execute("UPDATE checkpoint_copies SET stored = false, expires_at = now()")
    await expire(pool, settings)
    assert artifacts.models == {}, "nobody has fetched it"


def _text(value: Any) -> str:
    return str(value.get_secret_value()) if isinstance(value, SecretStr) else str(value)


async def test_a_copy_that_failed_tells_why(ada: User, job: Json, artifacts: FakeArtifacts):
    artifacts.copy_status = "failed"
    answer = await download(ada, job)
    assert (answer.status_code, answer.json()["code"]) == (502, "checkpoint_not_copied")
    (model_id,) = artifacts.models
    assert answer.json()["details"] == {"model_id": str(model_id), "problem": "the cluster answered 500"}


async def test_another_users_checkpoint_does_not_exist(ada: User, eve: User, job: Json, artifacts: FakeArtifacts):
    assert (await download(eve, job)).json() == (await download(eve, {"id": new_id()})).json()
    assert (await download(eve, job)).status_code == 404
    model_id = (await download(ada, job)).json()["data"]["model_id"]
    for method, path in (("GET", ""), ("POST", "/download"), ("DELETE", "")):
        assert (await eve.request(method, f"/api/models/{model_id}{path}")).status_code == 404


async def test_a_job_starts_from_a_checkpoint(ada: User, eve: User, pool: Pool, job: Json):
    model_id = (await download(ada, job)).json()["data"]["model_id"]
    body = submission(await validated_dataset(pool, ada), hyperparameters={"init_from": model_id})
    answer = await ada.post("/api/jobs", json=body)
    assert answer.status_code == 201, answer.text
    assert answer.json()["data"]["start"] == {"model_id": model_id, "name": "Harbour · step 20", "step": 20}
    assert (await ada.delete(f"/api/models/{model_id}")).json()["code"] == "model_in_use"
    theirs = submission(await validated_dataset(pool, eve), hyperparameters={"init_from": model_id})
    assert (await eve.post("/api/jobs", json=theirs)).json()["code"] == "model_not_found"


async def test_copies_are_deleted_when_they_expire_but_not_under_a_job(
    ada: User, pool: Pool, settings: Settings, job: Json, artifacts: FakeArtifacts
):
    model_id = UUID((await download(ada, job)).json()["data"]["model_id"])
    await expire(pool, settings)
    assert model_id in artifacts.models, "it has not expired"
    body = submission(await validated_dataset(pool, ada), hyperparameters={"init_from": str(model_id)})
    child = (await ada.post("/api/jobs", json=body)).json()["data"]

    await pool.execute("UPDATE checkpoint_copies SET expires_at = now()")
    await expire(pool, settings)
    assert model_id in artifacts.models, "a job that is not over starts from it"
    assert (await listed(ada, job))["1-20"]["available"]

    await deliver("api", pool, job_completed(job_id=child["id"], user_id=ada.id, outcome=JobStatus.FAILED))
    await pool.execute("UPDATE checkpoint_copies SET expires_at = now()")
    await expire(pool, settings)
    assert artifacts.models == {}
    assert await pool.fetchval("SELECT count(*) FROM checkpoint_copies") == 0
    again = (await download(ada, job)).json()["data"]["model_id"]
    assert again != str(model_id), "it is copied again"


async def test_copies_are_deleted_with_their_job_or_by_their_user(
    ada: User, pool: Pool, settings: Settings, job: Json, artifacts: FakeArtifacts
):
    first = (await download(ada, job)).json()["data"]["model_id"]
    assert (await ada.delete(f"/api/models/{first}")).status_code == 200
    assert (await listed(ada, job))["1-20"]["model_id"] is None
    second = (await download(ada, job)).json()["data"]["model_id"]
    assert second != first

    await deliver("api", pool, job_completed(job_id=job["id"], user_id=ada.id, outcome=JobStatus.CANCELLED))
    assert (await ada.delete(f"/api/jobs/{job['id']}")).status_code == 200
    await expire(pool, settings)
    assert artifacts.models == {}
    assert await pool.fetchval("SELECT count(*) FROM checkpoint_copies") == 0


async def test_a_deletion_that_fails_is_repeated(
    ada: User, pool: Pool, settings: Settings, job: Json, artifacts: FakeArtifacts
):
    await download(ada, job)
    for refusal in ("keeps_models", "fails"):
        setattr(artifacts, refusal, True)
        await pool.execute("UPDATE checkpoint_copies SET expires_at = now()")
        await expire(pool, settings)
        assert len(artifacts.models) == 1
        setattr(artifacts, refusal, False)
    await pool.execute("UPDATE checkpoint_copies SET expires_at = now()")
    await expire(pool, settings)
    assert artifacts.models == {}
