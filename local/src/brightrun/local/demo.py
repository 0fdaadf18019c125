"""The demo: a first user uploads a data set, reads the estimate, trains, and downloads the adapter."""

import json
import shutil
import time
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path

import httpx

from brightrun.local.errors import DemoError
from brightrun.local.first_user import FirstUser, Json
from brightrun.local.platform import Platform
from brightrun.local.program import call
from brightrun.local.settings import LocalSettings

SAMPLE = Path(__file__).parents[3] / "sample" / "conversations.jsonl"
EMAIL = "demo@brightrun.local"
JOB: Json = {
    "gpu_config": {"type": "CPU", "count": 1},
    "hyperparameters": {"learning_rate": 1e-3, "rank": 16, "epochs": 3, "batch_size": 8},
}
LINE_SECONDS = 2.0
UNCHANGED_SECONDS = 10.0

Say = Callable[[str], None]


def run(platform: Platform, settings: LocalSettings, say: Say) -> None:
    """Train an adapter through the public API and evaluate it. Raises DemoError when a step fails."""
    user = FirstUser(platform.api_url)
    try:
        password = platform.installation.secret("demo.password")
        user.sign_in(EMAIL, password)
        say(f"signed in as {EMAIL}, password {password}")
        dataset = upload(user, say)
        job = train(user, dataset, say)
        adapter = download(user, job, platform.installation.home / "demo-adapter", say)
    except httpx.HTTPError as error:
        raise DemoError(f"the platform did not answer: {error}") from error
    verify(adapter, settings, say)
    say(f"the training cost {_money(job['final_cost'])}")


def upload(user: FirstUser, say: Say) -> Json:
    """Upload the sample and print the result of its validation."""
    say(f"uploading {SAMPLE.name} ({SAMPLE.stat().st_size // 1024} KiB)")
    dataset = user.upload_dataset(SAMPLE)
    if not dataset["training_ready"]:
        raise DemoError(f"the sample has {dataset['error_count']} errors")
    say(
        f"data set {dataset['id']}: {dataset['format']} format, {dataset['total_training_pairs']} training pairs, "
        f"{dataset['total_tokens']} tokens, no errors"
    )
    return dataset


def train(user: FirstUser, dataset: Json, say: Say) -> Json:
    """Estimate, submit and watch the job; returns it when it has completed."""
    request = {"dataset_id": dataset["id"], **JOB}
    estimate = user.post("/api/jobs/estimate", request)
    say(
        f"estimate: {_money(estimate['estimated_cost'])}, {estimate['estimated_duration_hours']} h, "
        f"{estimate['training_details']['total_steps']} steps"
    )
    price = {"estimated_cost": estimate["estimated_cost"]}
    job = user.post("/api/jobs", {"preset_id": "custom", **request, **price})
    say(f"job {job['id']} is queued")
    finished = show_progress(user.watch(job["id"]), say)
    if finished["status"] != "completed":
        raise DemoError(f"the job {finished['status']}: {finished['error_message'] or 'no reason given'}")
    return finished


def download(user: FirstUser, job: Json, folder: Path, say: Say) -> Path:
    """Download the adapter into an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    files = user.download(job["artifact_id"], folder)
    size = sum(file.stat().st_size for file in files)
    say(f"downloaded {len(files)} files ({size / 1e6:.1f} MB) to {folder}, digests match")
    return folder


def verify(adapter: Path, settings: LocalSettings, say: Say) -> None:
    """Load the adapter with PEFT and compare it with its base model on held-out examples."""
    say("loading the adapter with PEFT and comparing it with its base model on held-out examples")
    base = settings.models / "tiny"
    command = [str(settings.trainer_python), "-m", "brightrun_trainer.verify", str(adapter), "--base", str(base)]
    result = call(command)
    if not result.stdout:
        raise DemoError(f"the adapter could not be checked: {result.stderr.strip()[-300:]}")
    evaluation = json.loads(result.stdout)
    say(
        f"loss on {evaluation['examples']} held-out examples: base {evaluation['base_loss']:.3f}, "
        f"adapter {evaluation['adapter_loss']:.3f}"
    )
    for sample in evaluation["samples"][:1]:
        say(f"  prompt   {sample['messages'][-1]['content'].strip()!r}")
        for speaker in ("base", "adapter"):
            say(f"  {speaker:8} {sample[speaker].strip()!r}")
    if result.returncode != 0:
        raise DemoError("the adapter is no better than its base model")


def show_progress(jobs: Iterable[Json], say: Say) -> Json:
    """Print the job's progress, a line every two seconds, or ten if nothing changes; returns its last state."""
    job: Json = {}
    shown, last = 0.0, ""
    for job in jobs:
        line = f"  {job['progress'] or 0:3.0f} %  {_stage(job)}  {_numbers(job)}"
        if time.monotonic() - shown >= (LINE_SECONDS if line != last else UNCHANGED_SECONDS):
            shown, last = time.monotonic(), line
            say(line)
    return job


def _stage(job: Json) -> str:
    return "storing the adapter" if job["status"] == "completed" else job["current_stage"] or job["status"]


def _numbers(job: Json) -> str:
    parts = [f"step {job['current_step'] or 0}/{job['total_steps'] or '?'}"]
    loss = (job["current_metrics"] or {}).get("training_loss")
    if loss is not None:
        parts.append(f"loss {loss:.3f}")
    if job["eta_seconds"] is not None:
        parts.append(f"ETA {job['eta_seconds']:.0f} s")
    return "  ".join(parts)


def _money(amount: object) -> str:
    return f"${Decimal(str(amount)):.4f}"
