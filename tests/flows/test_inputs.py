"""Preference pairs, a validation data set and an earlier adapter reach the trainer and have an effect."""

import csv
import gzip
import hashlib
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import openai

from brightrun.local.first_user import FirstUser
from tests.flows.live_platform import SAMPLE, Json, LivePlatform, has_artifact, submit, wait_for_job
from tests.waiting import wait_until


def test_a_job_learns_preferences_and_is_evaluated_on_its_validation_dataset(platform: LivePlatform) -> None:
    user = platform.new_user()
    examples = _preferences(72)
    training = user.upload_dataset(_write(platform.home / "pairs.jsonl", examples[:48]))
    held_out = user.upload_dataset(_write(platform.home / "held-out-pairs.jsonl", examples[48:]))
    assert (training["status"], training["format"], training["total_training_pairs"]) == ("ready", "dpo", 48)

    validation = {"validation_dataset_id": held_out["id"], "eval_steps": 6}
    job = submit(user, training, method="dpo", beta=0.2, max_steps=12, **validation)
    done = wait_for_job(user, job["id"], has_artifact)
    assert done["validation_dataset"]["total_training_pairs"] == 24
    folder = _folder(platform, job["id"])
    assert (folder / "validation.jsonl").read_bytes() == (platform.home / "held-out-pairs.jsonl").read_bytes()
    points = user.get(f"/api/jobs/{job['id']}/metrics")["points"]
    losses = {point["step"]: point["validation_loss"] for point in points if point["validation_loss"] is not None}
    assert losses.keys() >= {6, 12}
    assert losses[12] < 0.7, "a model that prefers neither answer has a loss of ln 2"

    manifest = _manifest(user, done)
    assert manifest["spec"]["method"] == "dpo"
    assert (manifest["validation"]["dataset_id"], manifest["start"]) == (held_out["id"], None)


def test_a_job_trains_on_a_table_of_another_format(platform: LivePlatform) -> None:
    user = platform.new_user()
    path = platform.home / "answers.csv.gz"
    lines = [json.loads(line)["messages"] for line in SAMPLE.read_text().splitlines()[:40]]
    with gzip.open(path, "wt", newline="") as file:
        csv.writer(file).writerows(
            [["instruction", "output"], *([turns[-2]["content"], turns[-1]["content"]] for turns in lines)]
        )
    dataset = user.upload_dataset(path)
    assert (dataset["status"], dataset["format"], dataset["total_training_pairs"]) == ("ready", "alpaca", 40)

    job = submit(user, dataset)
    done = wait_for_job(user, job["id"], has_artifact)
    trained = (_folder(platform, job["id"]) / "data.jsonl").read_bytes()
    assert hashlib.sha256(trained).hexdigest() == dataset["training_sha256"] != dataset["sha256"]
    assert [json.loads(line)["messages"] for line in trained.splitlines()] == [
        [{key: message[key] for key in ("role", "content")} for message in turns[-2:]] for turns in lines
    ]
    assert _manifest(user, done)["dataset"]["sha256"] == dataset["training_sha256"]


def test_a_fine_tuned_model_is_trained_further_through_the_openai_package(platform: LivePlatform) -> None:
    user = platform.new_user()
    key = user.post("/api/keys", {"name": "going on", "scopes": ["read", "train"]})["key"]
    client = openai.OpenAI(base_url=f"{platform.programs.api_url}/v1", api_key=key)
    lines = SAMPLE.read_text().splitlines(keepends=True)
    files = {}
    for name, chosen in (("training", lines[:48]), ("validation", lines[48:60])):
        path = platform.home / f"{name}.jsonl"
        path.write_text("".join(chosen))
        files[f"{name}_file"] = client.files.create(file=path, purpose="fine-tune").id
    trained: dict[str, Any] = {"max_steps": 12, "learning_rate": 1e-3, "eval_steps": 6}

    first = _wait(client, client.fine_tuning.jobs.create(model="tiny", **files, extra_body=trained | {"rank": 4}).id)
    assert first.fine_tuned_model
    second = client.fine_tuning.jobs.create(model=first.fine_tuned_model, **files, extra_body=trained)
    assert (second.model, second.validation_file) == (first.fine_tuned_model, files["validation_file"])
    second = _wait(client, second.id)

    jobs = {job["id"].replace("-", ""): job for job in user.get("/api/jobs")["jobs"]}
    first_job, second_job = jobs[first.id.removeprefix("ftjob-")], jobs[second.id.removeprefix("ftjob-")]
    assert second_job["hyperparameters"]["rank"] == 4, "as the adapter that it starts from"
    assert second_job["start"]["model_id"] == first_job["artifact_id"]
    for job in (first_job, second_job):
        validation = (_folder(platform, job["id"]) / "validation.jsonl").read_bytes()
        assert validation == (platform.home / "validation.jsonl").read_bytes()
    earlier = {file["name"]: file["sha256"] for file in user.get(f"/api/models/{first_job['artifact_id']}")["files"]}
    manifest = _manifest(user, second_job)
    assert manifest["start"]["artifact_id"] == first_job["artifact_id"]
    assert {file["name"]: file["sha256"] for file in manifest["start"]["files"]}.items() <= earlier.items()
    first_losses, second_losses = (_losses(user, job["id"]) for job in (first_job, second_job))
    assert second_losses[0] < first_losses[0], "it begins where the first ended"


def _preferences(count: int) -> list[Json]:
    """Pairs of the sample's responses, each preferred to that of another conversation."""
    sample = [json.loads(line)["messages"] for line in SAMPLE.read_text().splitlines()[: count + 1]]
    return [
        {"input": {"messages": messages[:-1]}, "preferred_output": messages[-1:], "non_preferred_output": other[-1:]}
        for messages, other in pairwise(sample)
    ]


def _write(path: Path, examples: list[Json]) -> Path:
    path.write_text("".join(json.dumps(example) + "\n" for example in examples))
    return path


def _folder(platform: LivePlatform, job_id: str) -> Path:
    (run,) = platform.cluster_runs(job_id)
    return platform.home / "cluster" / "runs" / str(run["status"]["external_job_id"])


def _manifest(user: FirstUser, job: Json) -> Json:
    url = user.post(f"/api/models/{job['artifact_id']}/download", {"files": ["manifest.json"]})["download_urls"]
    manifest: Json = httpx.get(url["manifest.json"]).json()
    return manifest


def _losses(user: FirstUser, job_id: str) -> list[float]:
    points = user.get(f"/api/jobs/{job_id}/metrics")["points"]
    return [point["training_loss"] for point in points if point["training_loss"] is not None]


def _wait(client: openai.OpenAI, job_id: str) -> Any:
    def ended() -> Any:
        job = client.fine_tuning.jobs.retrieve(job_id)
        return job if job.status in ("succeeded", "failed") else None

    job = wait_until(ended, within=300)
    assert job.status == "succeeded", job
    return job
