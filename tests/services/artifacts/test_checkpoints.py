"""Checkpoints are copied from their clusters whole and once, or the request tells why not."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from minio import Minio

from brightrun.artifacts.keys import MODELS
from brightrun.artifacts.models.actions import MAX_PENDING_COPIES
from brightrun.artifacts.models.loops import transfer_next
from brightrun.contracts.checkpoints import CheckpointCopy
from brightrun.contracts.values import new_id
from tests.builders import dataset_ref, job_completed, pricing
from tests.services.artifacts.conftest import Artifacts, Ask, environment
from tests.services.artifacts.fake_cluster import FakeCluster
from tests.services.slices import deliver

ADAPTER = {"adapter_config.json", "adapter_model.safetensors"}
RUN = "run_1"


def copy_of(artifacts: Artifacts, step: int = 40, **changes: Any) -> CheckpointCopy:
    job = job_completed()
    values = {
        "job_id": new_id(),
        "attempt": 1,
        "step": step,
        "cluster": artifacts.cluster.name,
        "external_job_id": RUN,
        "name": f"Workshop · step {step}",
        "spec": job.spec,
        "gpu": job.gpu,
        "dataset": dataset_ref(),
        "pricing": pricing(),
    }
    return CheckpointCopy(**values | changes)


async def request(ask: Ask, user: UUID, model_id: UUID, copy: CheckpointCopy) -> httpx.Response:
    return await ask(user).put(f"/models/{model_id}/checkpoint", json=copy.model_dump(mode="json"))


@pytest.fixture
def fake_cluster(fake_cluster: FakeCluster) -> FakeCluster:
    """It has two checkpoints of a run."""
    fake_cluster.checkpoints = {RUN: [40, 80]}
    return fake_cluster


async def test_a_checkpoints_adapter_is_copied_and_is_no_model_of_the_user(
    artifacts: Artifacts, ask: Ask, fake_cluster: FakeCluster, s3: Minio
):
    fake_cluster.files |= {"optimizer.pt": b"large"}
    user, model_id, copy = new_id(), new_id(), copy_of(artifacts)
    answer = await request(ask, user, model_id, copy)
    assert (answer.status_code, answer.json()["data"]["status"]) == (200, "pending")
    assert await artifacts.transfer()
    model = (await ask(user).get(f"/models/{model_id}")).json()["data"]
    assert (model["status"], model["checkpoint"], model["training_summary"]) == (
        "stored",
        {"attempt": 1, "step": 40},
        None,
    )
    assert (model["job_id"], model["name"], model["quality_metrics"]) == (str(copy.job_id), copy.name, None)
    signed = (await ask(user).post(f"/models/{model_id}/download", json={})).json()["data"]["download_urls"]
    assert signed.keys() == ADAPTER | {"manifest.json"}
    async with httpx.AsyncClient() as anyone:
        for name in ADAPTER:
            assert (await anyone.get(signed[name])).content == fake_cluster.files[name]
    manifest = json.loads(s3.get_object(MODELS, f"{user}/{model_id}/manifest.json").read())
    assert manifest["checkpoint"] == {"attempt": 1, "step": 40}
    assert (await ask(user).get(f"/models/{model_id}/adapter")).json()["data"]["download_urls"].keys() == ADAPTER

    assert (await ask(user).get("/models")).json()["data"]["models"] == []
    assert await artifacts.events("artifact.ready") == []
    answer = await ask(user).post(f"/models/{model_id}/generate", json={"messages": [{"role": "user", "content": "?"}]})
    assert (answer.status_code, answer.json()["code"]) == (409, "generation_unsupported")


async def test_a_repeated_request_copies_once(artifacts: Artifacts, ask: Ask, fake_cluster: FakeCluster):
    user, model_id, copy = new_id(), new_id(), copy_of(artifacts)
    await asyncio.gather(*(request(ask, user, model_id, copy) for _ in range(3)))
    assert await artifacts.transfer()
    fake_cluster.checkpoints = {}
    answer = await request(ask, user, model_id, copy)
    assert (answer.status_code, answer.json()["data"]["status"]) == (200, "stored"), "the copy is there"
    assert not await artifacts.transfer()
    assert set(fake_cluster.downloads.values()) == {1}


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("rotated", (410, "checkpoint_gone")),
        ("run deleted", (410, "checkpoint_gone")),
        ("cluster removed", (410, "checkpoint_gone")),
        ("no endpoint", (409, "checkpoints_unsupported")),
        ("down", (502, "cluster_unavailable")),
    ],
)
async def test_a_checkpoint_that_cannot_be_had_is_refused_with_the_reason(
    *, artifacts: Artifacts, ask: Ask, fake_cluster: FakeCluster, case: str, expected: tuple[int, str]
):
    copy = copy_of(artifacts, **{"cluster": "of-old"} if case == "cluster removed" else {})
    fake_cluster.checkpoints = {"rotated": {RUN: [80]}, "down": fake_cluster.checkpoints}.get(case, {})
    fake_cluster.features["checkpoints"] = case != "no endpoint"
    fake_cluster.down = case == "down"
    user, model_id = new_id(), new_id()
    answer = await request(ask, user, model_id, copy)
    assert (answer.status_code, answer.json()["code"]) == expected
    assert (await ask(user).get(f"/models/{model_id}")).status_code == 404, "nothing is left of the request"


async def test_a_checkpoint_that_is_deleted_meanwhile_fails_at_once_and_can_be_requested_again(
    artifacts: Artifacts, ask: Ask, fake_cluster: FakeCluster
):
    user, model_id, copy = new_id(), new_id(), copy_of(artifacts)
    await request(ask, user, model_id, copy)
    fake_cluster.checkpoints = {RUN: [80]}
    assert await artifacts.transfer()
    model = (await ask(user).get(f"/models/{model_id}")).json()["data"]
    assert (model["status"], model["problem"]) == ("failed", "the cluster answered 404")
    answer = await request(ask, user, model_id, copy)
    assert (answer.status_code, answer.json()["code"]) == (410, "checkpoint_gone")
    fake_cluster.checkpoints = {RUN: [40]}
    assert (await request(ask, user, model_id, copy)).json()["data"]["status"] == "pending"
    assert await artifacts.transfer()
    assert (await ask(user).get(f"/models/{model_id}")).json()["data"]["status"] == "stored"


@pytest.mark.parametrize("fault", ["corrupt", "no weights"])
async def test_a_broken_copy_is_never_stored(
    artifacts: Artifacts, ask: Ask, fake_cluster: FakeCluster, s3: Minio, fault: str
):
    weights = fake_cluster.files["adapter_model.safetensors"]
    if fault == "corrupt":
        fake_cluster.sent = {"adapter_model.safetensors": b"\xff" + weights[1:]}
    else:
        del fake_cluster.files["adapter_model.safetensors"]
    user, model_id = new_id(), new_id()
    await request(ask, user, model_id, copy_of(artifacts))
    assert await artifacts.transfer()
    model = (await ask(user).get(f"/models/{model_id}")).json()["data"]
    assert (model["status"], bool(model["problem"])) == ("pending", True)
    answer = await ask(user).post(f"/models/{model_id}/download", json={})
    assert (answer.status_code, answer.json()["code"]) == (409, "model_not_stored")
    fake_cluster.sent, fake_cluster.files["adapter_model.safetensors"] = {}, weights
    assert await artifacts.transfer()
    assert s3.get_object(MODELS, f"{user}/{model_id}/adapter_model.safetensors").read() == weights


@pytest.mark.parametrize("moment", ["transfer.file_stored", "transfer.manifest_stored"])
async def test_a_process_killed_while_it_copies_is_succeeded_by_the_next(artifacts: Artifacts, ask: Ask, moment: str):
    user, model_id = new_id(), new_id()
    await request(ask, user, model_id, copy_of(artifacts))
    script = str(Path(__file__).parent / "transfer_once.py")
    process = await asyncio.create_subprocess_exec(
        sys.executable, script, env=os.environ | environment(artifacts.settings) | {"FAILPOINT": moment}
    )
    assert await process.wait() == -signal.SIGKILL
    assert (await ask(user).get(f"/models/{model_id}")).json()["data"]["status"] == "pending"
    assert await artifacts.transfer()
    assert (await ask(user).get(f"/models/{model_id}")).json()["data"]["status"] == "stored"


async def test_another_users_copy_does_not_exist(artifacts: Artifacts, ask: Ask):
    user, stranger, model_id, copy = new_id(), new_id(), new_id(), copy_of(artifacts)
    await request(ask, user, model_id, copy)
    assert (await request(ask, stranger, model_id, copy)).status_code == 404
    assert (await ask(stranger).get(f"/models/{model_id}")).status_code == 404
    assert (await ask(user).get(f"/models/{model_id}")).status_code == 200


async def test_copies_are_limited_for_each_user_and_wait_for_models(
    artifacts: Artifacts, ask: Ask, fake_cluster: FakeCluster
):
    user = new_id()
    for _ in range(MAX_PENDING_COPIES):
        assert (await request(ask, user, new_id(), copy_of(artifacts))).status_code == 200
    answer = await request(ask, user, new_id(), copy_of(artifacts))
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_copies")
    assert (await request(ask, new_id(), new_id(), copy_of(artifacts))).status_code == 200

    settings = artifacts.settings
    assert not await transfer_next(artifacts.pool, artifacts.store, artifacts.cluster, settings, copies=False)
    job = job_completed()
    await deliver("artifacts", artifacts.pool, job)
    assert await artifacts.transfer()
    (model,) = (await ask(job.user_id).get("/models")).json()["data"]["models"]
    assert model["status"] == "stored", "the model of a job does not wait for copies"
    while await artifacts.transfer():
        pass
    assert (await request(ask, user, new_id(), copy_of(artifacts))).status_code == 200


async def test_the_checkpoints_on_a_cluster_are_listed(artifacts: Artifacts, ask: Ask, fake_cluster: FakeCluster):
    async def listed(run: str, cluster: str = artifacts.cluster.name) -> httpx.Response:
        return await ask(new_id()).get("/checkpoints", params={"cluster": cluster, "external_job_id": run})

    assert [found["step"] for found in (await listed(RUN)).json()["data"]["checkpoints"]] == [40, 80]
    for run, cluster in (("run_unknown", artifacts.cluster.name), ("run ?y", artifacts.cluster.name), (RUN, "of-old")):
        assert (await listed(run, cluster)).json()["data"]["checkpoints"] == []
    fake_cluster.down = True
    assert ((await listed(RUN)).status_code, (await listed(RUN)).json()["code"]) == (502, "cluster_unavailable")
