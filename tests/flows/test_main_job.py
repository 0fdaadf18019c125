"""The main job: a data set becomes an adapter that is better than its base model, whatever dies on the way."""

import json
import subprocess
from pathlib import Path

import pytest

from brightrun.local.platform import SERVICES
from tests.flows.audit import audit
from tests.flows.house import House, Json, eventually, follow, running_for_a_while, stored, submit


def test_a_job_becomes_an_adapter(house_on_each_broker: House, tmp_path: Path) -> None:
    house = house_on_each_broker
    user = house.new_user()
    dataset = user.upload_dataset(house.sample(80))
    assert (dataset["status"], dataset["total_training_pairs"]) == ("ready", 80)

    job = submit(user, dataset, max_steps=24)
    assert job["status"] == "queued"
    done = follow(user, job["id"], stored)
    assert (done["status"], done["current_step"], done["progress"]) == ("completed", 24, 100)

    files = {file.name for file in user.download(done["artifact_id"], tmp_path)}
    assert {"adapter_model.safetensors", "adapter_config.json", "manifest.json"} <= files
    compared = _verify(house, tmp_path)
    assert compared["adapter_loss"] < compared["base_loss"]
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["base_model"]["name"] == "tiny"
    model = user.get(f"/api/models/{done['artifact_id']}")
    assert model["quality_metrics"]["adapter_loss"] < model["quality_metrics"]["base_loss"]
    assert model["report"]["samples"]
    assert model["report"]["serving"]["vllm"] is True
    assert manifest["training"]["chat_template"] == model["report"]["chat_template"]
    asked = {"messages": [{"role": "user", "content": "My chain slips."}], "max_tokens": 20}
    heard = user.hear(f"/api/models/{done['artifact_id']}/generate", asked)
    assert {"base", "adapter"} == {data["side"] for name, data in heard if name == "token"}
    assert [name for name, _ in heard if name != "token"] == ["loading", "finished", "finished", "done"]
    audit(house, user, done)


def _verify(house: House, adapter: Path) -> Json:
    """Load the adapter with plain PEFT in a fresh process, as its user would."""
    python, base = house.settings.trainer_python, house.settings.models / "tiny"
    command = [python, "-m", "brightrun_trainer.verify", adapter, "--base", base]
    compared: Json = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return compared


def test_a_job_survives_the_death_of_each_service_in_turn(house: House) -> None:
    user = house.new_user()
    job = submit(user, user.upload_dataset(house.sample(40)), max_steps=400, batch_size=4)
    follow(user, job["id"], running_for_a_while)
    for victim in (name for name in SERVICES if name != "web"):
        assert user.get(f"/api/jobs/{job['id']}")["job"]["status"] == "running", f"{victim} would die too late"
        house.platform.services[victim].kill()
        eventually(house.platform.services[victim].is_ready, within=60)
    audit(house, user, follow(user, job["id"], stored))


def test_a_running_job_is_cancelled_within_five_seconds(house: House) -> None:
    user = house.new_user()
    job = submit(user, user.upload_dataset(house.sample(40)), max_steps=500)
    follow(user, job["id"], running_for_a_while)
    user.post(f"/api/jobs/{job['id']}/cancel", {})
    done = follow(user, job["id"], lambda one: one["status"] == "cancelled", within=5 + 5)
    assert done["artifact_id"] is None
    assert len(house.cluster_runs(job["id"])) == 1
    eventually(lambda: user.get(f"/api/jobs/{job['id']}")["cost_records"])


def test_a_failing_job_says_why_and_what_to_do(house: House) -> None:
    user = house.new_user()
    job = submit(user, user.upload_dataset(house.sample(40)), chat_template="llama3")
    done = follow(user, job["id"], lambda one: one["status"] == "failed")
    assert done["error"]["code"] == "chat_template_unfit"
    assert done["error"]["advice"]
    assert "llama3" in done["error_message"]


def test_a_data_set_with_errors_is_invalid_and_trains_nothing(house: House) -> None:
    user = house.new_user()
    path = house.home / "broken.jsonl"
    lines = house.sample(12).read_text().splitlines()
    path.write_text("\n".join([*lines, "{not json", '{"messages": []}']) + "\n")
    dataset = user.upload_dataset(path)
    assert (dataset["status"], dataset["training_ready"], dataset["error_count"] >= 2) == ("invalid", False, True)
    errors = user.get(f"/api/datasets/{dataset['id']}/errors")["errors"]
    assert {error["line"] for error in errors} >= {13, 14}
    with pytest.raises(Exception, match="Dataset not ready"):
        submit(user, dataset)
