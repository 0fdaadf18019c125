"""A completed job's files arrive whole, once, or visibly not at all."""

import asyncio
import hashlib
import json
import os
import signal
import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from minio import Minio

from brightrun.artifacts import subscribers
from brightrun.artifacts.keys import MODELS, model_key
from brightrun.artifacts.models import actions
from brightrun.artifacts.models import queries as models
from brightrun.contracts.event import Event
from brightrun.contracts.events import (
    AdapterRef,
    ArtifactFile,
    ArtifactReady,
    JobCompleted,
    JobProgress,
    Segment,
    adapter_files,
)
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import MetricPoint
from brightrun.contracts.values import new_id
from brightrun.runtime.database import transaction
from tests.builders import NOON, dataset_ref, job_completed, job_progress, pricing
from tests.contracts.original import MODEL, differences, without
from tests.services.artifacts.conftest import Artifacts, Ask, environment
from tests.services.artifacts.fake_cluster import FakeCluster
from tests.services.slices import serve
from tests.waiting import eventually

ADAPTER = "adapter_model.safetensors"


async def deliver(artifacts: Artifacts, *events: Event) -> None:
    """Hand events to their reader past the inbox, which would stop a redelivery."""
    reader = subscribers.on_job_progress if isinstance(events[0], JobProgress) else subscribers.on_job_completed
    async with transaction(artifacts.pool) as conn:
        await reader.handle(events, conn)


async def the_model(ask: Ask, user: UUID) -> dict[str, Any]:
    (model,) = (await ask(user).get("/models")).json()["data"]["models"]
    return model


async def ready_events(artifacts: Artifacts) -> list[ArtifactReady]:
    return [ArtifactReady.model_validate_json(value) for value in await artifacts.events("artifact.ready")]


def assert_nothing_unfinished(s3: Minio, user: UUID) -> None:
    assert s3._list_multipart_uploads(MODELS, prefix=f"{user}/").uploads == []


@pytest.fixture
def job() -> JobCompleted:
    return job_completed(user_id=new_id())


async def test_a_completed_job_becomes_a_stored_model(
    artifacts: Artifacts, ask: Ask, fake_cluster: FakeCluster, s3: Minio, job: JobCompleted
):
    fake_cluster.metadata = {
        "revision": "4f2e",
        "chat_template_sha256": "cd" * 32,
        "comparison": {"base_loss": 3.0, "adapter_loss": 1.2, "examples": 24},
    }
    await deliver(artifacts, job)
    assert (await the_model(ask, job.user_id))["status"] == "pending"
    assert await artifacts.transfer()
    model = await the_model(ask, job.user_id)
    assert (model["status"], model["problem"], model["version"]) == ("stored", None, "1.0.0")
    assert model["name"] == "Workshop replies · 2026-11-24"
    assert model["quality_metrics"]["overall_score"] == 5
    assert model["quality_metrics"]["adapter_loss"] == 1.2
    assert model["training_summary"]["total_cost"] == 0.5025
    assert model["configuration"]["hyperparameters"]["epochs"] == 1
    configuration = without(MODEL["configuration"], "preset_id")
    assert differences(MODEL | {"configuration": configuration}, model) == []
    assert model["artifacts"].keys() == {file["name"] for file in model["files"]}

    prefix = f"{job.user_id}/{model['id']}"
    for file in model["files"]:
        stored = s3.get_object(MODELS, f"{prefix}/{file['name']}").read()
        assert (len(stored), hashlib.sha256(stored).hexdigest()) == (file["size"], file["sha256"])
    manifest = json.loads(s3.get_object(MODELS, f"{prefix}/manifest.json").read())
    assert manifest["files"] == [file for file in model["files"] if file["name"] != "manifest.json"]
    assert manifest["dataset"]["sha256"] == job.dataset.sha256
    assert manifest["base_model"] == {"name": "tiny", "revision": "4f2e"}
    assert manifest["training"] == fake_cluster.metadata

    (event,) = await ready_events(artifacts)
    assert (event.job_id, str(event.artifact_id), event.user_id) == (job.job_id, model["id"], job.user_id)
    assert [file.model_dump() for file in event.files] == sorted(model["files"], key=lambda file: file["name"])
    assert (event.quality.score, event.quality.convergence) == (5, "excellent")


async def test_a_model_tells_what_it_was_evaluated_on_and_started_from(
    artifacts: Artifacts, ask: Ask, s3: Minio, job: JobCompleted
):
    await deliver(artifacts, job)
    await artifacts.transfer()
    first = await the_model(ask, job.user_id)
    assert (first["validation"], first["start"]) == (None, None)

    files = [ArtifactFile.model_validate(file) for file in first["files"]]
    start = AdapterRef(artifact_id=first["id"], name=first["name"], files=adapter_files(files))
    validation = dataset_ref(name="Held out")
    second = job_completed(user_id=job.user_id, start=start, validation=validation)
    await deliver(artifacts, second)
    await artifacts.transfer()
    models_listed = (await ask(job.user_id).get("/models")).json()["data"]["models"]
    (model,) = (model_view for model_view in models_listed if model_view["job_id"] == str(second.job_id))
    assert model["start"] == {"model_id": first["id"], "name": first["name"]}
    assert model["validation"] == validation.model_dump(mode="json")
    manifest = json.loads(s3.get_object(MODELS, f"{job.user_id}/{model['id']}/manifest.json").read())
    assert manifest["start"] == start.model_dump(mode="json")
    assert manifest["validation"]["sha256"] == validation.sha256


async def test_a_cluster_can_fetch_a_models_adapter_for_a_day(
    artifacts: Artifacts, ask: Ask, fake_cluster: FakeCluster, job: JobCompleted
):
    await deliver(artifacts, job)
    model = await the_model(ask, job.user_id)
    path = f"/models/{model['id']}/adapter"
    assert (await ask(job.user_id).get(path)).json()["code"] == "model_not_stored"
    await artifacts.transfer()
    signed = (await ask(job.user_id).get(path)).json()["data"]
    assert signed["expires_in"] == 86_400
    assert signed["download_urls"].keys() == {ADAPTER, "adapter_config.json"}
    async with httpx.AsyncClient() as anybody:
        for name, url in signed["download_urls"].items():
            assert (await anybody.get(url)).content == fake_cluster.files[name]
    assert (await ask(new_id()).get(path)).status_code == 404


async def test_a_redelivered_completion_makes_one_model(artifacts: Artifacts, ask: Ask, job: JobCompleted):
    await deliver(artifacts, job)
    await artifacts.transfer()
    await deliver(artifacts, job)
    assert not await artifacts.transfer()
    assert (await the_model(ask, job.user_id))["status"] == "stored"
    assert len(await ready_events(artifacts)) == 1


@pytest.mark.parametrize("outcome", [JobStatus.FAILED, JobStatus.CANCELLED])
async def test_a_job_that_did_not_complete_leaves_no_model(artifacts: Artifacts, outcome: JobStatus):
    await deliver(artifacts, job_completed(outcome=outcome))
    assert not await artifacts.transfer()


@pytest.mark.parametrize("fault", ["corrupt", "truncated", "missing", "down"])
async def test_a_broken_source_gives_no_artifact_until_it_is_mended(
    *, artifacts: Artifacts, ask: Ask, fake_cluster: FakeCluster, s3: Minio, job: JobCompleted, fault: str
):
    right = fake_cluster.files[ADAPTER]
    fake_cluster.sent = {
        "corrupt": {ADAPTER: b"\xff" + right[1:]},
        "truncated": {ADAPTER: right[:7_000_000]},
        "missing": {ADAPTER: b""},
        "down": {},
    }[fault]
    fake_cluster.down = fault == "down"
    await deliver(artifacts, job)
    assert await artifacts.transfer()
    model = await the_model(ask, job.user_id)
    assert model["status"] == "pending"
    assert model["problem"]
    assert await ready_events(artifacts) == []
    with pytest.raises(Exception, match="NoSuchKey"):
        s3.stat_object(MODELS, model_key(job.user_id, UUID(model["id"]), ADAPTER))
    assert_nothing_unfinished(s3, job.user_id)

    fake_cluster.sent, fake_cluster.down = {}, False
    assert await artifacts.transfer()
    assert (await the_model(ask, job.user_id))["status"] == "stored"
    assert len(await ready_events(artifacts)) == 1


async def test_a_failed_try_is_repeated_only_after_a_pause(
    artifacts: Artifacts, fake_cluster: FakeCluster, job: JobCompleted
):
    fake_cluster.down = True
    await deliver(artifacts, job)
    assert await artifacts.transfer()
    async with transaction(artifacts.pool) as conn:
        assert await models.lease_model(conn, artifacts.cluster.name, timedelta(minutes=1)) is None
    pause = await artifacts.pool.fetchval("SELECT leased_until - now() FROM models")
    assert timedelta(seconds=5) < pause <= timedelta(seconds=10)


async def test_a_transfer_that_keeps_failing_is_given_up_visibly(
    artifacts: Artifacts, ask: Ask, fake_cluster: FakeCluster, job: JobCompleted
):
    fake_cluster.down = True
    await deliver(artifacts, job)
    for _ in range(artifacts.settings.transfer_attempts):
        assert await artifacts.transfer()
    assert not await artifacts.transfer()
    model = await the_model(ask, job.user_id)
    assert (model["status"], model["problem"]) == ("failed", "the cluster answered 500")
    answer = await ask(job.user_id).post(f"/models/{model['id']}/download", json={})
    assert (answer.status_code, answer.json()["code"]) == (409, "model_not_stored")


async def test_unsafe_names_are_never_stored(
    artifacts: Artifacts, ask: Ask, fake_cluster: FakeCluster, s3: Minio, job: JobCompleted
):
    fake_cluster.files["../../elsewhere"] = b"x"
    await deliver(artifacts, job)
    await artifacts.transfer()
    assert "unsafe name" in (await the_model(ask, job.user_id))["problem"]
    assert list(s3.list_objects(MODELS, f"{job.user_id}/", recursive=True)) == []


async def test_a_cluster_without_digests_serves_too(
    artifacts: Artifacts, ask: Ask, fake_cluster: FakeCluster, job: JobCompleted
):
    fake_cluster.announces_digests = False
    await deliver(artifacts, job)
    await artifacts.transfer()
    files = {file["name"]: file["sha256"] for file in (await the_model(ask, job.user_id))["files"]}
    assert files[ADAPTER] == hashlib.sha256(fake_cluster.files[ADAPTER]).hexdigest()


async def test_a_retry_moves_only_what_is_missing(artifacts: Artifacts, fake_cluster: FakeCluster, job: JobCompleted):
    fake_cluster.sent = {ADAPTER: b""}
    await deliver(artifacts, job)
    await artifacts.transfer()
    fake_cluster.sent = {}
    await artifacts.transfer()
    assert fake_cluster.downloads == {"adapter_config.json": 1, ADAPTER: 2}


@pytest.mark.parametrize("moment", ["transfer.file_stored", "transfer.manifest_stored"])
async def test_a_mover_killed_on_the_way_is_succeeded_by_the_next(
    artifacts: Artifacts, ask: Ask, job: JobCompleted, moment: str
):
    await deliver(artifacts, job)
    script = str(Path(__file__).parent / "transfer_once.py")
    process = await asyncio.create_subprocess_exec(
        sys.executable, script, env=os.environ | environment(artifacts.settings) | {"FAILPOINT": moment}
    )
    assert await process.wait() == -signal.SIGKILL
    assert (await the_model(ask, job.user_id))["status"] == "pending"
    assert await ready_events(artifacts) == []
    assert await artifacts.transfer()
    assert (await the_model(ask, job.user_id))["status"] == "stored"
    assert len(await ready_events(artifacts)) == 1


async def test_a_mover_that_lost_its_lease_changes_nothing(artifacts: Artifacts, ask: Ask, job: JobCompleted):
    await deliver(artifacts, job)
    async with transaction(artifacts.pool) as conn:
        late = await models.lease_model(conn, artifacts.cluster.name, timedelta(0))
    assert late is not None
    await artifacts.transfer()
    async with transaction(artifacts.pool) as conn:
        assert not await actions.finish_transfer(conn, late, [], {})
        await actions.record_problem(conn, late, ValueError("late"), 1, timedelta(0))
    assert (await the_model(ask, job.user_id))["status"] == "stored"
    assert len(await ready_events(artifacts)) == 1


async def test_signed_urls_work_for_anyone_until_they_expire_or_are_tampered_with(
    artifacts: Artifacts, ask: Ask, fake_cluster: FakeCluster, job: JobCompleted
):
    await deliver(artifacts, job)
    await artifacts.transfer()
    model = await the_model(ask, job.user_id)
    data = (await ask(job.user_id).post(f"/models/{model['id']}/download", json={"files": [ADAPTER]})).json()["data"]
    assert data["expires_in"] == 3600
    assert list(data["download_urls"]) == [ADAPTER]
    short = artifacts.store.sign(MODELS, model_key(job.user_id, UUID(model["id"]), ADAPTER), timedelta(seconds=1))
    async with httpx.AsyncClient(timeout=60) as anyone:
        answer = await anyone.get(data["download_urls"][ADAPTER])
        assert answer.content == fake_cluster.files[ADAPTER]
        assert answer.headers["content-disposition"] == f'attachment; filename="{ADAPTER}"'
        for tampered in (
            data["download_urls"][ADAPTER].replace(ADAPTER, "adapter_config.json", 1),
            data["download_urls"][ADAPTER].replace("X-Amz-Expires=3600", "X-Amz-Expires=7200"),
            data["download_urls"][ADAPTER].split("?")[0],
        ):
            assert (await anyone.get(tampered)).status_code == 403

        async def expired() -> bool:
            return (await anyone.head(short)).status_code == 403 and (await anyone.get(short)).status_code == 403

        await eventually(expired)


async def test_only_a_models_own_files_are_signed(artifacts: Artifacts, ask: Ask, job: JobCompleted):
    await deliver(artifacts, job)
    await artifacts.transfer()
    model = await the_model(ask, job.user_id)
    everything = (await ask(job.user_id).post(f"/models/{model['id']}/download", json={})).json()["data"]
    assert set(everything["download_urls"]) == {"adapter_config.json", ADAPTER, "manifest.json"}
    answer = await ask(job.user_id).post(f"/models/{model['id']}/download", json={"files": ["../x", ADAPTER]})
    assert (answer.status_code, answer.json()["code"]) == (400, "unknown_files")
    assert answer.json()["details"]["unknown"] == ["../x"]
    assert sorted(answer.json()["details"]["files"]) == ["adapter_config.json", ADAPTER, "manifest.json"]


async def test_anothers_model_does_not_exist(artifacts: Artifacts, ask: Ask, job: JobCompleted):
    await deliver(artifacts, job)
    await artifacts.transfer()
    model, stranger = await the_model(ask, job.user_id), new_id()
    assert (await ask(stranger).get(f"/models/{model['id']}")).status_code == 404
    assert (await ask(stranger).post(f"/models/{model['id']}/download", json={})).status_code == 404
    assert (await ask(stranger).get("/models")).json()["data"]["models"] == []


async def test_models_are_sorted_by_age_quality_or_cost(artifacts: Artifacts, ask: Ask, fake_cluster: FakeCluster):
    user = new_id()
    jobs = [job_completed(user_id=user, pricing=pricing(storage=storage)) for storage in ("1.0000", "3.0000", "2.0000")]
    for job, adapter_loss in zip(jobs, (0.9, 1.9, 1.4), strict=True):
        fake_cluster.metadata = {"comparison": {"base_loss": 2.0, "adapter_loss": adapter_loss, "examples": 24}}
        await deliver(artifacts, job)
        await artifacts.transfer()

    async def order(**params: str) -> list[int]:
        found = (await ask(user).get("/models", params=params)).json()["data"]["models"]
        return [[str(job.job_id) for job in jobs].index(model["job_id"]) for model in found]

    assert await order() == [2, 1, 0]
    assert await order(sort="quality") == [0, 2, 1]
    assert await order(sort="cost") == [1, 2, 0]
    assert await order(sort="cost", limit="1", page="2") == [2]
    assert (await ask(user).get("/models", params={"sort": "name"})).status_code == 400


async def test_a_curve_counts_each_progress_once_and_in_order(artifacts: Artifacts, ask: Ask, job: JobCompleted):
    losses = [Decimal(8), Decimal(4), Decimal(2), Decimal(1)]
    progress = [
        job_progress(
            job_id=job.job_id,
            user_id=job.user_id,
            seq=seq,
            points=(MetricPoint(step=seq, epoch=seq / 4, training_loss=loss, validation_loss=loss),),
        )
        for seq, loss in enumerate(losses, 1)
    ]
    await deliver(artifacts, progress[1], progress[0])
    await deliver(artifacts, *progress[:3])
    await deliver(artifacts, *reversed(progress))
    await deliver(artifacts, job)
    await artifacts.transfer()
    model = await the_model(ask, job.user_id)
    quality, summary = model["quality_metrics"], model["training_summary"]
    assert (quality["initial_training_loss"], quality["final_training_loss"]) == (8.0, 1.0)
    assert (summary["total_steps"], summary["epochs_completed"], summary["final_loss"]) == (4, 1.0, 1.0)
    assert await artifacts.pool.fetchval("SELECT (summary->>'points')::int FROM curves") == len(losses)


async def test_a_model_reports_the_limit_that_ended_its_job_and_the_cost_of_all_segments(
    artifacts: Artifacts, ask: Ask, s3: Minio
):
    hour = timedelta(hours=1)
    before = Segment(attempt=1, started_at=NOON - 5 * hour, finished_at=NOON - 3 * hour)
    job = job_completed(segments=(before,), started_at=NOON, finished_at=NOON + hour, stopped_by="budget")
    await deliver(artifacts, job)
    await artifacts.transfer()
    model = await the_model(ask, job.user_id)
    summary = model["training_summary"]
    assert (summary["stopped_by"], summary["training_duration_hours"], summary["total_cost"]) == (
        "budget",
        3.0,
        0.65,
    )
    manifest = json.loads(s3.get_object(MODELS, f"{job.user_id}/{model['id']}/manifest.json").read())
    assert manifest["stopped_by"] == "budget"


async def test_a_cluster_that_only_speaks_the_original_s_api_delivers(
    artifacts: Artifacts, ask: Ask, fake_cluster: FakeCluster, job: JobCompleted
):
    """Its files lie elsewhere, it has no digests, and nothing to say of the model."""
    keys: list[str | None] = []
    elsewhere = FastAPI()

    @elsewhere.get("/bucket/{name}")
    async def file(name: str, request: Request) -> Response:
        keys.append(request.headers.get("authorization"))
        return Response(fake_cluster.files[name])

    async with serve(elsewhere) as url:
        urls = {name: f"{url}/bucket/{name}?signature=1" for name in fake_cluster.files}
        fake_cluster.offer = {"download_urls": urls, "model_metadata": None}
        await deliver(artifacts, job)
        await artifacts.transfer()
    model = await the_model(ask, job.user_id)
    assert (model["status"], model["problem"]) == ("stored", None)
    files = {file["name"]: file["sha256"] for file in model["files"]}
    assert files[ADAPTER] == hashlib.sha256(fake_cluster.files[ADAPTER]).hexdigest()
    assert keys == [None, None], "the cluster's key is for the cluster"
