"""The workflow on GitHub runs the same commands as `.ci/run`, with no more rights than it needs."""

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
WORKFLOW: dict[Any, Any] = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
JOB = WORKFLOW["jobs"]["test"]


def test_the_workflow_runs_the_commands_of_the_script() -> None:
    commands = re.findall(r"^make .+$", (ROOT / ".ci/run").read_text(), re.MULTILINE)

    assert commands
    assert [step["run"] for step in JOB["steps"] if "run" in step] == commands


def test_the_workflow_runs_for_every_change_and_may_only_read() -> None:
    triggers = WORKFLOW[True]  # YAML 1.1 reads the key `on` as a boolean

    assert triggers == {"push": {"branches": ["main"]}, "pull_request": None}
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert "permissions" not in JOB


def test_the_workflow_tests_the_oldest_supported_python_and_a_newer_one() -> None:
    oldest = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    versions = JOB["strategy"]["matrix"]["python"]

    assert f">={versions[0]}" == oldest
    assert len(versions) > 1


def test_every_action_is_pinned_to_a_major_version() -> None:
    actions = [step["uses"] for step in JOB["steps"] if "uses" in step]

    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", action) for action in actions)
