"""Code written for OpenAI runs unchanged, with the newest `openai` package and with a 2.x release."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.flows.live_platform import ROOT, Json, LivePlatform

OLDER = "openai==2.54.0"
SCRIPT = Path(__file__).with_name("openai_script.py")


@contextmanager
def newest() -> Iterator[Path | None]:
    """Uses the package of the tests' environment."""
    yield None


@contextmanager
def older() -> Iterator[Path | None]:
    """A folder with a 2.x release and its dependencies, which precede the environment's packages."""
    with TemporaryDirectory(prefix="brightrun-openai-") as folder:
        command = [ROOT / ".tools/bin/uv", "pip", "install", "--quiet", "--python", sys.executable, "--target", folder]
        subprocess.run([*command, OLDER], check=True)
        yield Path(folder)


@pytest.mark.parametrize("package", [newest, older])
def test_the_openai_package_runs_a_whole_fine_tuning(package, platform: LivePlatform) -> None:
    key = platform.new_user().post("/api/keys", {"name": "moving over", "scopes": ["read", "train"]})["key"]
    with package() as folder:
        report = _run(platform, key, platform.sample(40), folder)

    job = report["job"]
    assert report["version"].startswith("2." if package is older else "3.")
    assert report["statuses"][-1] == "succeeded"
    assert (job["model"], job["seed"], job["error"]) == ("gpt-4o-mini-2024-07-18", 7, None)
    assert job["trained_tokens"] > 0
    assert job["fine_tuned_model"].startswith("ft:tiny:personal:flows:")
    assert report["retrieved"] == job["fine_tuned_model"]
    assert {"tiny", "gpt-4o-mini-2024-07-18", job["fine_tuned_model"]} <= set(report["models"])
    assert report["listed"] == [job["id"]]
    assert report["content_is_the_file"]
    assert sorted(report["files"]) == ["fine-tune", "fine-tune-results"]
    _check_events(report["events"])
    _check_checkpoints(report)
    _check_results(report["results"])
    assert (report["deleted_file"], report["deleted_model"]) == (True, True)
    assert report["left"] == ["fine-tune-results"]


def _run(platform: LivePlatform, key: str, path: Path, folder: Path | None) -> Json:
    environment = {**os.environ, "PYTHONPATH": str(folder) if folder else ""}
    command = [sys.executable, SCRIPT, f"{platform.programs.api_url}/v1", key, path]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    report: Json = json.loads(done.stdout)
    return report


def _check_events(events: list[Json]) -> None:
    assert len({event["id"] for event in events}) == len(events) > 2
    assert [event["created_at"] for event in events] == sorted((e["created_at"] for e in events), reverse=True)
    assert "Queued" in events[-1]["message"]
    metrics = [event["data"] for event in events if event["type"] == "metrics"]
    assert metrics[-1]["train_loss"] > 0
    assert metrics[-1]["step"] <= metrics[0]["step"] <= metrics[0]["total_steps"]


def _check_checkpoints(report: Json) -> None:
    steps = [checkpoint["step_number"] for checkpoint in report["checkpoints"]]
    assert steps == sorted(steps, reverse=True)
    assert 4 in steps
    assert all(checkpoint["metrics"]["train_loss"] > 0 for checkpoint in report["checkpoints"])
    names = {checkpoint["fine_tuned_model_checkpoint"] for checkpoint in report["checkpoints"]}
    assert names == {f"{report['job']['fine_tuned_model']}:ckpt-step-{step}" for step in steps}


def _check_results(results: list[str]) -> None:
    (text,) = results
    lines = list(csv.DictReader(io.StringIO(text)))
    assert [int(line["step"]) for line in lines] == sorted({int(line["step"]) for line in lines})
    assert float(lines[0]["train_loss"]) > float(lines[-1]["train_loss"] or lines[-2]["train_loss"])
    assert any(line["valid_loss"] for line in lines)


def test_the_code_of_the_guide_runs_as_written(platform: LivePlatform) -> None:
    """Runs both code blocks of docs/openai.md with a real address, key and file."""
    guide = (ROOT / "docs/openai.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    key = platform.new_user().post("/api/keys", {"name": "guide", "scopes": ["read", "train"]})["key"]
    code = "\n".join(blocks).replace("http://127.0.0.1:8000", platform.programs.api_url).replace("br_…", key)
    code = code.replace('"replies.jsonl"', repr(str(platform.sample(24))))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.startswith("succeeded ft:tiny:personal:support:")
