"""A checkpoint of a cancelled job is downloaded, and trained further through the OpenAI package."""

import hashlib

import httpx
import openai

from tests.flows.live_platform import Json, LivePlatform, has_artifact, submit, wait_for_job
from tests.waiting import wait_until


def test_a_checkpoint_outlives_its_job_and_is_trained_further(platform: LivePlatform) -> None:
    user = platform.new_user()
    dataset = user.upload_dataset(platform.sample(40))
    job = submit(user, dataset, max_steps=400, batch_size=4, rank=4, learning_rate=1e-3, save_steps=5)

    def saved() -> list[Json]:
        return [found for found in user.get(f"/api/jobs/{job['id']}/checkpoints")["checkpoints"] if found["step"] > 5]

    wait_until(saved)
    user.post(f"/api/jobs/{job['id']}/cancel", {})
    wait_for_job(user, job["id"], lambda job: job["status"] == "cancelled")
    newest = user.get(f"/api/jobs/{job['id']}/checkpoints")["checkpoints"][0]
    assert newest["available"]
    assert newest["available_until"], "its cluster keeps it for a while"

    download = user.post(f"/api/jobs/{job['id']}/checkpoints/{newest['id']}/download", {})
    files = {file["name"]: file for file in user.get(f"/api/models/{download['model_id']}")["files"]}
    for name, url in download["download_urls"].items():
        content = httpx.get(url).content
        assert (len(content), hashlib.sha256(content).hexdigest()) == (files[name]["size"], files[name]["sha256"])
    assert user.get("/api/models")["models"] == []

    key = user.post("/api/keys", {"name": "going on", "scopes": ["read", "train"]})["key"]
    client = openai.OpenAI(base_url=f"{platform.programs.api_url}/v1", api_key=key)
    (theirs,) = client.fine_tuning.jobs.list().data
    name = client.fine_tuning.jobs.checkpoints.list(theirs.id).data[0].fine_tuned_model_checkpoint
    child = client.fine_tuning.jobs.create(
        model=name, training_file=theirs.training_file, extra_body={"max_steps": 4, "learning_rate": 1e-3}
    )
    assert child.model == name
    child_job = next(job for job in user.get("/api/jobs")["jobs"] if job["start"])
    assert child_job["start"]["model_id"] == download["model_id"], "it was copied once"
    wait_for_job(user, child_job["id"], has_artifact)
    first, later = (
        user.get(f"/api/jobs/{job_id}/metrics")["points"][0]["training_loss"] for job_id in (job["id"], child_job["id"])
    )
    assert later < first, "it begins where the checkpoint ended"
