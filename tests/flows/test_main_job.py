"""The main job: a data set becomes an adapter that is better than its base model, though services are killed."""

import json
import subprocess
from pathlib import Path

import pytest

from brightrun.local.first_user import FirstUser
from brightrun.local.platform import SERVICES
from tests.contracts.original import COST_RECORD, COSTS, JOB, MODEL, NOTIFICATIONS, PAGINATION, POINT, differences
from tests.flows.audit import audit
from tests.flows.live_platform import Json, LivePlatform, has_artifact, has_trained_some_steps, submit, wait_for_job
from tests.waiting import wait_until


def test_a_job_becomes_an_adapter(platform_on_each_broker: LivePlatform, tmp_path: Path) -> None:
    platform = platform_on_each_broker
    user = platform.new_user()
    dataset = user.upload_dataset(platform.sample(80))
    assert (dataset["status"], dataset["total_training_pairs"]) == ("ready", 80)

    job = submit(user, dataset, max_steps=24)
    assert job["status"] == "queued"
    done = wait_for_job(user, job["id"], has_artifact)
    assert (done["status"], done["current_step"], done["progress"]) == ("completed", 24, 100)

    files = {file.name for file in user.download(done["artifact_id"], tmp_path)}
    assert {"adapter_model.safetensors", "adapter_config.json", "manifest.json"} <= files
    compared = _verify(platform, tmp_path)
    assert compared["adapter_loss"] < compared["base_loss"]
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["base_model"]["name"] == "tiny"
    model = user.get(f"/api/models/{done['artifact_id']}")
    assert model["quality_metrics"]["adapter_loss"] < model["quality_metrics"]["base_loss"]
    assert model["report"]["samples"]
    assert model["report"]["serving"]["vllm"] is True
    assert manifest["training"]["chat_template"] == model["report"]["chat_template"]
    request = {"messages": [{"role": "user", "content": "My chain slips."}], "max_tokens": 20}
    events = user.post_for_events(f"/api/models/{done['artifact_id']}/generate", request)
    assert {"base", "adapter"} == {data["side"] for name, data in events if name == "token"}
    assert [name for name, _ in events if name != "token"] == ["loading", "finished", "finished", "done"]
    audit(platform, user, done)
    _compare_with_original(user, done["id"], model)


def _compare_with_original(user: FirstUser, job_id: str, model: Json) -> None:
    """Every field that the original's clients read is in the answers of the running platform."""
    detail = {"job": JOB, "metrics": [POINT], "cost_records": [COST_RECORD]}
    assert differences(detail, user.get(f"/api/jobs/{job_id}")) == []
    assert differences({"jobs": [JOB], "pagination": PAGINATION}, user.get("/api/jobs")) == []
    assert differences(MODEL, model) == []
    assert differences({"models": [MODEL], "pagination": PAGINATION}, user.get("/api/models")) == []
    assert differences(COSTS, user.get("/api/costs")) == []
    assert differences(NOTIFICATIONS, user.get("/api/notifications")) == []


def _verify(platform: LivePlatform, adapter: Path) -> Json:
    """Load the adapter with plain PEFT in a fresh process, as its user would."""
    python, base = platform.settings.trainer_python, platform.settings.models / "tiny"
    command = [python, "-m", "brightrun_trainer.verify", adapter, "--base", base]
    compared: Json = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return compared


def test_a_job_survives_the_death_of_each_service_in_turn(platform: LivePlatform) -> None:
    user = platform.new_user()
    job = submit(user, user.upload_dataset(platform.sample(40)), max_steps=300, batch_size=4)
    wait_for_job(user, job["id"], has_trained_some_steps)
    for victim in (name for name in SERVICES if name != "web"):
        assert user.get(f"/api/jobs/{job['id']}")["job"]["status"] == "running", f"{victim} would die too late"
        platform.programs.services[victim].kill()
        wait_until(platform.programs.services[victim].is_ready)
    audit(platform, user, wait_for_job(user, job["id"], has_artifact))


def test_a_running_job_is_cancelled(platform: LivePlatform) -> None:
    user = platform.new_user()
    job = submit(user, user.upload_dataset(platform.sample(40)), max_steps=500)
    wait_for_job(user, job["id"], has_trained_some_steps)
    user.post(f"/api/jobs/{job['id']}/cancel", {})
    done = wait_for_job(user, job["id"], lambda job: job["status"] == "cancelled", within=5 + 5)
    assert done["artifact_id"] is None
    assert len(platform.cluster_runs(job["id"])) == 1
    wait_until(lambda: user.get(f"/api/jobs/{job['id']}")["cost_records"])


def test_a_failed_job_has_a_cause_and_advice(platform: LivePlatform) -> None:
    user = platform.new_user()
    job = submit(user, user.upload_dataset(platform.sample(40)), chat_template="llama3")
    done = wait_for_job(user, job["id"], lambda job: job["status"] == "failed")
    assert done["error"]["code"] == "chat_template_unfit"
    assert done["error"]["advice"]
    assert "llama3" in done["error_message"]


def test_a_dataset_with_errors_is_invalid_and_cannot_be_trained_on(platform: LivePlatform) -> None:
    user = platform.new_user()
    path = platform.home / "broken.jsonl"
    lines = platform.sample(12).read_text().splitlines()
    path.write_text("\n".join([*lines, "{not json", '{"messages": []}']) + "\n")
    dataset = user.upload_dataset(path)
    assert (dataset["status"], dataset["training_ready"], dataset["error_count"] >= 2) == ("invalid", False, True)
    errors = user.get(f"/api/datasets/{dataset['id']}/errors")["errors"]
    assert {error["line"] for error in errors} >= {13, 14}
    with pytest.raises(Exception, match="Dataset not ready"):
        submit(user, dataset)
