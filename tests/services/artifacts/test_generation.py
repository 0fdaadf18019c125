"""Stored models are tried where they were trained."""

import json
from typing import Any

import pytest

from brightrun.contracts.values import new_id
from tests.builders import job_completed
from tests.services.artifacts.conftest import Artifacts, Ask
from tests.services.artifacts.fake_cluster import FakeCluster
from tests.services.artifacts.test_models import deliver, the_model

ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": "My chain slips."}], "max_tokens": 9}
TOKEN = b'{"kind":"token","side":"adapter","text":"Wear"}\n'


async def test_the_events_of_the_cluster_are_forwarded(artifacts: Artifacts, ask: Ask, fake_cluster: FakeCluster):
    job = job_completed()
    await deliver(artifacts, job)
    await artifacts.transfer()
    model = await the_model(ask, job.user_id)
    fake_cluster.said = [TOKEN[:9], TOKEN[9:], b'{"kind":"done","prompt_tokens":3,"seconds":0.1}\n']
    answer = await ask(job.user_id).post(f"/models/{model['id']}/generate", json=ASKED)
    assert [json.loads(line)["kind"] for line in answer.text.splitlines()] == ["token", "done"]
    (asked,) = fake_cluster.asked
    assert asked["messages"] == ASKED["messages"]
    assert (asked["max_tokens"], asked["sides"]) == (9, ["base", "adapter"])


async def test_a_broken_generation_ends_with_a_failed_event(artifacts: Artifacts, ask: Ask, fake_cluster: FakeCluster):
    job = job_completed()
    await deliver(artifacts, job)
    await artifacts.transfer()
    model = await the_model(ask, job.user_id)
    fake_cluster.said = [TOKEN, None]
    answer = await ask(job.user_id).post(f"/models/{model['id']}/generate", json=ASKED)
    last = json.loads(answer.text.splitlines()[-1])
    assert (last["kind"], last["error"]["code"]) == ("failed", "generation_broken")


@pytest.mark.parametrize(
    ("status", "refusal"),
    [
        (404, (409, "generation_unsupported")),
        (410, (409, "generation_unsupported")),
        (501, (409, "generation_unsupported")),
        (429, (429, "generation_busy")),
        (500, (503, "unavailable")),
    ],
)
async def test_an_error_of_the_cluster_is_mapped(
    *, artifacts: Artifacts, ask: Ask, fake_cluster: FakeCluster, status: int, refusal: tuple[int, str]
):
    job = job_completed()
    await deliver(artifacts, job)
    await artifacts.transfer()
    model = await the_model(ask, job.user_id)
    fake_cluster.refuses_generation = status
    answer = await ask(job.user_id).post(f"/models/{model['id']}/generate", json=ASKED)
    assert (answer.status_code, answer.json()["code"]) == refusal


async def test_only_ones_own_stored_model_is_tried(artifacts: Artifacts, ask: Ask):
    job = job_completed()
    await deliver(artifacts, job)
    model = await the_model(ask, job.user_id)
    url = f"/models/{model['id']}/generate"
    early = await ask(job.user_id).post(url, json=ASKED)
    assert (early.status_code, early.json()["code"]) == (409, "model_not_stored")
    await artifacts.transfer()
    assert (await ask(new_id()).post(url, json=ASKED)).status_code == 404


async def test_a_model_of_an_unknown_cluster_cannot_generate(artifacts: Artifacts, ask: Ask):
    job = job_completed()
    await deliver(artifacts, job)
    await artifacts.transfer()
    await artifacts.pool.execute("UPDATE models SET cluster = 'gone'")
    model = await the_model(ask, job.user_id)
    answer = await ask(job.user_id).post(f"/models/{model['id']}/generate", json=ASKED)
    assert (answer.status_code, answer.json()["code"]) == (409, "generation_unsupported")


async def test_the_report_of_the_cluster_is_part_of_the_model(
    artifacts: Artifacts, ask: Ask, fake_cluster: FakeCluster
):
    job = job_completed()
    fake_cluster.metadata = {
        "revision": "4f2e",
        "comparison": {"base_loss": 3.0, "adapter_loss": 1.2, "examples": 24, "adapter_token_accuracy": 0.4},
        "samples": [
            {"messages": [{"role": "user", "content": "Hi"}], "expected": "Ho", "base": "?\0", "adapter": "Ho"}
        ],
        "serving": {"peft": True, "vllm": False, "findings": []},
        "versions": "not a mapping",
    }
    await deliver(artifacts, job)
    await artifacts.transfer()
    model = await the_model(ask, job.user_id)
    assert "report" not in model
    shown = (await ask(job.user_id).get(f"/models/{model['id']}")).json()["data"]
    assert shown["report"]["base_revision"] == "4f2e"
    assert shown["report"]["samples"][0]["base"] == "?"
    assert shown["report"]["serving"]["vllm"] is False
    assert shown["report"]["versions"] is None
    assert shown["quality_metrics"]["adapter_token_accuracy"] == 0.4
    assert shown["quality_metrics"]["perplexity"] == pytest.approx(3.32, abs=0.01)
