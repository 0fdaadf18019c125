"""Run folders for the trainer, and the trainer as a process of its own environment."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, TypeVar

from brightrun.contracts.reports import (
    REPORT,
    CheckpointReport,
    FailedReport,
    FinishedReport,
    PlanReport,
    PointsReport,
    Report,
)
from brightrun.contracts.training import MetricPoint
from tests.trainer.processes import Launcher, Process, Streams

REPOSITORY = Path(__file__).parents[2]
SAMPLE = REPOSITORY / "local" / "sample" / "conversations.jsonl"
SECONDS = 150

Kind = TypeVar("Kind", CheckpointReport, PlanReport, PointsReport)


class Trainer:
    """The trainer's Python and the folder of base models; `launcher` decides how its processes start."""

    def __init__(self, python: Path, environment: Mapping[str, str], launcher: Launcher) -> None:
        self.python = python
        self.environment = dict(environment)
        self.launcher = launcher

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `python ARGUMENTS` to its end."""
        with open(os.devnull, "rb") as nothing, TemporaryFile("w+") as stdout, TemporaryFile("w+") as stderr:
            process = self.launch(arguments, (nothing, stdout, stderr))
            exit_code = process.wait(timeout=SECONDS)
            stdout.seek(0)
            stderr.seek(0)
            return subprocess.CompletedProcess(arguments, exit_code, stdout.read(), stderr.read())

    def start(self, folder: Path, *options: str) -> "RunningTrainer":
        reports, stdout = os.pipe()
        with open(os.devnull, "rb") as nothing, open(stdout, "wb") as output, (folder / "log").open("ab") as log:
            process = self.launch(["-m", "brightrun_trainer", str(folder), *options], (nothing, output, log))
        return RunningTrainer(process, open(reports))

    def run(self, folder: Path, *options: str) -> "Outcome":
        return self.start(folder, *options).outcome()

    def launch(self, arguments: Sequence[str], streams: Streams) -> Process:
        return self.launcher.start(arguments, self.environment, streams)


class Outcome:
    """All reports of a trainer, and its exit code."""

    def __init__(self, reports: list[Report], exit_code: int) -> None:
        self.reports = reports
        self.exit_code = exit_code

    @property
    def points(self) -> list[MetricPoint]:
        return [point for report in self._of(PointsReport) for point in report.points]

    @property
    def losses(self) -> list[float | None]:
        return [point.training_loss for point in self.points]

    @property
    def plan(self) -> PlanReport:
        return self._of(PlanReport)[0]

    @property
    def checkpoints(self) -> list[CheckpointReport]:
        return self._of(CheckpointReport)

    @property
    def finished(self) -> FinishedReport:
        assert isinstance(self.reports[-1], FinishedReport), self.reports[-1]
        return self.reports[-1]

    @property
    def failure(self) -> FailedReport:
        assert isinstance(self.reports[-1], FailedReport), self.reports[-1]
        return self.reports[-1]

    def _of(self, kind: type[Kind]) -> list[Kind]:
        return [report for report in self.reports if isinstance(report, kind)]


class RunningTrainer:
    """A trainer whose reports are read as they come."""

    def __init__(self, process: Process, output: IO[str]) -> None:
        self._process = process
        self._output = output
        self._reports = self._read()
        self._received: list[Report] = []

    def stop_after(self, kind: str) -> None:
        """Send SIGTERM after the next report of this kind."""
        self.reaches(kind)
        self._process.send_signal(signal.SIGTERM)

    def reaches(self, kind: str) -> Report:
        """Wait for the next report of this kind."""
        for report in self._reports:
            if report.kind == kind:
                return report
        raise AssertionError(f"it ended without a report of kind {kind}: {self._received}")

    def outcome(self) -> Outcome:
        for _ in self._reports:
            pass
        return Outcome(self._received, self._process.wait(timeout=SECONDS))

    def _read(self) -> Iterator[Report]:
        with self._output:
            for line in self._output:
                report = REPORT.validate_json(line)
                self._received.append(report)
                yield report


GOOD, BAD = "Gladly, here it is.", "zzz qqq zzz"


def preferences(count: int = 40) -> str:
    """Preference examples in which the same answer is always the preferred one."""
    lines = SAMPLE.read_text().splitlines()[:count]
    questions = [json.loads(line)["messages"][-2]["content"] for line in lines]
    outputs = {name: [{"role": "assistant", "content": text}] for name, text in _OUTPUTS.items()}
    return "\n".join(
        json.dumps({"input": {"messages": [{"role": "user", "content": question}]}, **outputs})
        for question in questions
    )


_OUTPUTS = {"preferred_output": GOOD, "non_preferred_output": BAD}


def run_folder(folder: Path, *, examples: int = 48, data: str | None = None, **spec: Any) -> Path:
    """A folder ready for the trainer: by default the sample's first examples and a spec that trains in seconds."""
    folder.mkdir()
    lines = SAMPLE.read_text().splitlines()[:examples]
    (folder / "data.jsonl").write_text("\n".join(lines) if data is None else data)
    defaults = {"base_model": "tiny", "learning_rate": 1e-3, "batch_size": 4, "max_steps": 24}
    (folder / "spec.json").write_text(json.dumps({**defaults, **spec}))
    return folder
