"""`validate`: MB/s of the validation of a data set, beside the checker of OpenAI's cookbook and the `datasets` library.

Each contestant reads the same file of clean conversations in a process of its own. A second file has a bad line in
every hundred; only ours and the cookbook's checker find them.
"""

import json
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.stats import Spread, ratios
from benchmarks.train import PYTHON, SAMPLE

CONTESTANTS = Path(__file__).with_name("validate_contestants.py")
OURS, COOKBOOK, DATASETS = "brightrun", "cookbook", "datasets"
WALL, CPU, MEMORY, BAD = "MB/s", "MB/s of CPU time", "peak MiB", "MB/s, 1 % bad"
BAD_LINES = (
    '{"messages": [{"role": "human", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}',
    '{"messages": [{"role": "user", "content": 7}]}',
    '{"messages": [',
)


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rounds: int = 5
    megabytes: int = 200


Rounds = Mapping[str, Sequence[Mapping[str, float]]]
"""Contestant → round → figure."""


def run(plan: Plan) -> dict[str, Any]:
    """Validate in turns, print, and return all that was measured."""
    rounds: dict[str, list[Mapping[str, float]]] = {name: [] for name in (OURS, COOKBOOK, DATASETS)}
    with tempfile.TemporaryDirectory() as home:
        clean, bad = Path(home, "clean.jsonl"), Path(home, "bad.jsonl")
        _write(clean, plan.megabytes * 10**6)
        _write(bad, plan.megabytes * 10**6, bad_every=100)
        order = deque(rounds)
        for _ in range(plan.rounds):
            for name in order:
                figures = _measure(name, clean)
                if name != DATASETS:
                    figures[BAD] = _measure(name, bad)[WALL]
                rounds[name].append(figures)
            order.rotate()
        example_bytes = round(clean.stat().st_size / sum(1 for _ in clean.open("rb")))
    summary = summarize(rounds)
    report(summary)
    return {"bytes of an example": example_bytes, "summary": summary, **rounds}


def _write(path: Path, size: int, bad_every: int = 0) -> None:
    """Two conversations of the sample in each line, numbered so that no line is like another."""
    conversations = [json.loads(line)["messages"] for line in SAMPLE.read_text().splitlines()]
    written = number = 0
    with path.open("w") as file:
        while written < size:
            number += 1
            first, second = (conversations[(number * step) % len(conversations)] for step in (1, 7))
            messages = [
                *first[:-2],
                first[-2] | {"content": f"{number}. {first[-2]['content']}"},
                first[-1],
                *second[-2:],
            ]
            bad = bad_every and number % bad_every == 0
            line = BAD_LINES[number // bad_every % len(BAD_LINES)] if bad else json.dumps({"messages": messages})
            written += file.write(line + "\n")


def _measure(name: str, path: Path) -> dict[str, float]:
    python = PYTHON if name == DATASETS else Path(sys.executable)
    command = [str(python), "-P", str(CONTESTANTS), name, str(path)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
    megabytes, figures = path.stat().st_size / 1e6, json.loads(output.splitlines()[-1])
    return {
        WALL: round(megabytes / figures["seconds"], 1),
        CPU: round(megabytes / figures["cpu_seconds"], 1),
        MEMORY: figures["grown_mib"],
    }


def summarize(rounds: Rounds) -> dict[str, Any]:
    """The spread of each figure, and ours as a multiple of each peer's."""
    figures = {
        name: {figure: Spread.of([taken[figure] for taken in measured]) for figure in measured[0]}
        for name, measured in rounds.items()
    }
    ours = rounds[OURS]
    multiples = {
        name: {
            figure: ratios([taken[figure] for taken in ours], [taken[figure] for taken in rounds[name]])
            for figure in (WALL, CPU, BAD)
            if figure in rounds[name][0]
        }
        for name in (COOKBOOK, DATASETS)
    }
    return {"figures": figures, "ours as a multiple": multiples}


def report(summary: Mapping[str, Any]) -> None:
    """Print the table of the README."""
    figures, multiples = summary["figures"], summary["ours as a multiple"]
    print(f"| figure | {OURS} | {COOKBOOK} | {DATASETS} | ÷ {COOKBOOK} | ÷ {DATASETS} |\n|---|---|---|---|---|---|")
    for figure in (WALL, CPU, BAD, MEMORY):
        cells = [str(figures[name].get(figure, "–")) for name in figures]
        cells += [str(multiples[name].get(figure, "–")) for name in multiples]
        print(f"| {figure} | {' | '.join(cells)} |")
