"""`train`: tokens a second of the shipped trainer, beside TRL alone and Transformers with PEFT, on the same work."""

import json
import os
import random
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.stats import Spread, ratios
from brightrun.contracts.reports import REPORT, FailedReport, PointsReport

ROOT = Path(__file__).parents[1]
PYTHON = Path(os.environ.get("BRIGHTRUN_TRAINER_PYTHON", ROOT / ".trainer-venv/bin/python"))
MODELS = Path(os.environ.get("BRIGHTRUN_MODELS", ROOT / ".cache/models"))
SAMPLE = ROOT / "local/sample/conversations.jsonl"
CLOCKED = Path(__file__).with_name("train_ours.py")
PEER = Path(__file__).with_name("train_peer.py")

OURS, PLAIN, TRL = "brightrun", "transformers", "trl"
RATE, MEMORY, REPORTING = "tokens/s", "peak MiB", "reporting %"
NEVER = 1_000_000
TURNS = 3
"""Conversations of the sample that are put together into one, so that examples are not all short."""
SPARE = 1.2
"""Conversations for each that is trained on, since ours holds a tenth of them out."""


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rounds: int = 5
    model: str = "small"
    steps: int = 60
    batch_size: int = 8


@dataclass(frozen=True)
class Setup:
    """What every contestant trains: `data` is a file of conversations, `folder` where it may write."""

    model: str
    data: str
    folder: str
    steps: int
    batch_size: int
    warm_steps: int = 5
    rank: int = 16
    max_length: int = 1024


Rounds = Mapping[str, Sequence[Mapping[str, float]]]
"""Contestant → round → figure."""


def run(plan: Plan) -> dict[str, Any]:
    """Train in turns, print, and return all that was measured."""
    if not (MODELS / plan.model / "config.json").exists():
        raise SystemExit(f"the base model {plan.model} is not in {MODELS}: make {plan.model}")
    contestants: dict[str, Callable[[Setup], Mapping[str, float]]] = {
        OURS: lambda setup: _ours(setup, plan.model),
        PLAIN: lambda setup: _peer(PLAIN, setup),
        TRL: lambda setup: _peer(TRL, setup),
    }
    rounds: dict[str, list[Mapping[str, float]]] = {name: [] for name in contestants}
    with tempfile.TemporaryDirectory() as home:
        data = Path(home, "data.jsonl")
        count = int(SPARE * plan.steps * plan.batch_size)
        data.write_text("\n".join(map(json.dumps, _conversations(count))))
        order = deque(contestants)
        for number in range(plan.rounds):
            for name in order:
                folder = Path(home, f"{name}-{number}")
                folder.mkdir()
                setup = Setup(str(MODELS / plan.model), str(data), str(folder), plan.steps, plan.batch_size)
                rounds[name].append(contestants[name](setup))
            order.rotate()
    summary = summarize(rounds)
    report(summary)
    return {"packages": _packages(), "summary": summary, **rounds}


def _conversations(count: int) -> list[dict[str, Any]]:
    """Of one to `TURNS` of the sample's in a row."""
    chosen = random.Random(1)  # noqa: S311
    lines = [json.loads(line)["messages"] for line in SAMPLE.read_text().splitlines()]
    return [
        {"messages": [message for chat in chosen.sample(lines, chosen.randint(1, TURNS)) for message in _said(chat)]}
        for _ in range(count)
    ]


def _said(chat: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [message for message in chat if message["role"] in ("user", "assistant") and message.get("weight", 1)]


def _ours(setup: Setup, model: str) -> Mapping[str, float]:
    """What it evaluates and saves in between by default is left out, as the peers do none.

    Its rate ends with the last step but one: what the last one's evaluation takes, which its report waits for, is no
    training.
    """
    folder = Path(setup.folder)
    (folder / "data.jsonl").symlink_to(setup.data)
    spec = {
        "base_model": model,
        "rank": setup.rank,
        "learning_rate": 1e-4,
        "batch_size": setup.batch_size,
        "max_steps": setup.steps,
        "max_length": setup.max_length,
        "eval_steps": NEVER,
        "save_steps": NEVER,
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    heard: list[tuple[float, int]] = []

    def hear(line: str) -> None:
        told = REPORT.validate_json(line)
        if isinstance(told, FailedReport):
            raise SystemExit(f"our trainer failed: {told.error.message}")
        if isinstance(told, PointsReport) and setup.warm_steps <= told.points[-1].step < setup.steps:
            heard.append((time.monotonic(), told.trained_tokens))

    memory = _watch(["-P", str(CLOCKED), setup.folder], folder, hear)
    (began, before), (ended, after) = heard[0], heard[-1]
    share = json.loads((folder / "reporting.json").read_text())["share"]
    return {RATE: (after - before) / (ended - began), MEMORY: memory, REPORTING: 100 * share}


def _peer(name: str, setup: Setup) -> Mapping[str, float]:
    said: list[str] = []
    memory = _watch(["-P", str(PEER), name, json.dumps(asdict(setup))], Path(setup.folder), said.append)
    return {RATE: json.loads(said[-1])["tokens_per_second"], MEMORY: memory}


def _watch(arguments: Sequence[str], folder: Path, hear: Callable[[str], None]) -> float:
    """Run the trainer's Python to its end, line by line; returns its peak of resident memory in MiB."""
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603
            [PYTHON, *arguments],
            env=os.environ | {"BRIGHTRUN_MODELS": str(MODELS)},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        for line in process.stdout or ():
            hear(line)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit((folder / "log").read_text()[-3000:])
    return usage.ru_maxrss / 1024


def _packages() -> dict[str, str]:
    """The versions that train, which are not in this environment."""
    names = ("torch", "transformers", "peft", "trl", "accelerate")
    code = f"import importlib.metadata as m, json; print(json.dumps({{n: m.version(n) for n in {names!r}}}))"
    called = subprocess.run([PYTHON, "-c", code], capture_output=True, check=True)  # noqa: S603
    told: dict[str, str] = json.loads(called.stdout)
    return told


def summarize(rounds: Rounds) -> dict[str, dict[str, Spread]]:
    """For each figure each contestant's spread over the rounds, and our multiples of the peers, round by round."""
    return {
        figure: _compared({name: [one[figure] for one in done] for name, done in rounds.items() if figure in done[0]})
        for figure in (RATE, MEMORY, REPORTING)
    }


def _compared(values: Mapping[str, Sequence[float]]) -> dict[str, Spread]:
    others = {f"÷ {name}": ratios(values[OURS], done) for name, done in values.items() if name != OURS}
    return {name: Spread.of(done) for name, done in values.items()} | others


def report(summary: Mapping[str, Mapping[str, Spread]]) -> None:
    """Print a table: median [least–greatest] of the rounds."""
    columns = (OURS, PLAIN, TRL, f"÷ {PLAIN}", f"÷ {TRL}")
    print(f"| {'figure':11} |" + "".join(f" {column:22} |" for column in columns))
    print("|---|" + "---|" * len(columns))
    for figure, spreads in summary.items():
        cells = (str(spreads.get(column, "–")) for column in columns)
        print(f"| {figure:11} |" + "".join(f" {cell:22} |" for cell in cells))
