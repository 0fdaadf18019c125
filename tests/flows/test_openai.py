"""Code that is written for OpenAI fine-tunes here, unchanged, with the newest `openai` package and with one of 2.x."""

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

from tests.flows.house import ROOT, House, Json

OLDER = "openai==2.54.0"
SCRIPT = Path(__file__).with_name("openai_script.py")


@contextmanager
def newest() -> Iterator[Path | None]:
    """The package of the tests' own environment."""
    yield None


@contextmanager
def older() -> Iterator[Path | None]:
    """A folder with a 2.x release and what that needs, which is used in place of the environment's packages."""
    with TemporaryDirectory(prefix="brightrun-openai-") as folder:
        command = [ROOT / ".tools/bin/uv", "pip", "install", "--quiet", "--python", sys.executable, "--target", folder]
        subprocess.run([*command, OLDER], check=True)
        yield Path(folder)


@pytest.mark.parametrize("package", [newest, older])
def test_the_openai_package_drives_a_whole_fine_tuning(package, house: House) -> None:
    key = house.new_user().post("/api/keys", {"name": "moving over", "scopes": ["read", "train"]})["key"]
    with package() as folder:
        seen = _run(house, key, house.sample(40), folder)

    job = seen["job"]
    assert seen["version"].startswith("2." if package is older else "3.")
    assert seen["statuses"][-1] == "succeeded"
    assert (job["model"], job["seed"], job["error"]) == ("tiny", 7, None)
    assert job["trained_tokens"] > 0
    assert job["fine_tuned_model"].startswith("ft:tiny:personal:flows:")
    assert seen["retrieved"] == job["fine_tuned_model"]
    assert {"tiny", "gpt-4o-mini-2024-07-18", job["fine_tuned_model"]} <= set(seen["models"])
    assert seen["listed"] == [job["id"]]
    assert seen["content_is_the_file"]
    assert sorted(seen["files"]) == ["fine-tune", "fine-tune-results"]
    _check_events(seen["events"])
    _check_checkpoints(seen)
    _check_results(seen["results"])
    assert (seen["deleted_file"], seen["deleted_model"]) == (True, True)
    assert seen["left"] == ["fine-tune-results"]


def _run(house: House, key: str, path: Path, folder: Path | None) -> Json:
    environment = {**os.environ, "PYTHONPATH": str(folder) if folder else ""}
    command = [sys.executable, SCRIPT, f"{house.platform.api_url}/v1", key, path]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    seen: Json = json.loads(done.stdout)
    return seen


def _check_events(events: list[Json]) -> None:
    assert len({event["id"] for event in events}) == len(events) > 2
    assert [event["created_at"] for event in events] == sorted((e["created_at"] for e in events), reverse=True)
    assert "Queued" in events[-1]["message"]


def _check_checkpoints(seen: Json) -> None:
    steps = [checkpoint["step_number"] for checkpoint in seen["checkpoints"]]
    assert steps == sorted(steps, reverse=True)
    assert 4 in steps
    assert all(checkpoint["metrics"]["train_loss"] > 0 for checkpoint in seen["checkpoints"])


def _check_results(results: list[str]) -> None:
    (text,) = results
    lines = list(csv.DictReader(io.StringIO(text)))
    assert [int(line["step"]) for line in lines] == sorted({int(line["step"]) for line in lines})
    assert float(lines[0]["train_loss"]) > float(lines[-1]["train_loss"] or lines[-2]["train_loss"])
    assert any(line["valid_loss"] for line in lines)


def test_the_guides_code_runs_as_it_is_written(house: House) -> None:
    """Both pieces of Python in docs/openai.md, with a real address, key and file put in."""
    guide = (ROOT / "docs/openai.md").read_text()
    pieces = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    key = house.new_user().post("/api/keys", {"name": "guide", "scopes": ["read", "train"]})["key"]
    code = "\n".join(pieces).replace("http://127.0.0.1:8000", house.platform.api_url).replace("br_…", key)
    code = code.replace('"replies.jsonl"', repr(str(house.sample(24))))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.startswith("succeeded ft:tiny:personal:support:")
