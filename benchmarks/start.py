"""`start`: how long `make run` takes until every service answers, on a second start."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from benchmarks.stats import Spread
from brightrun.local.installation import Installation

ROOT = Path(__file__).parents[1]
LAST_LINE = "Ctrl-C stops everything."


@dataclass(frozen=True)
class Plan:
    """How many starts are counted; one before them creates the installation."""

    rounds: int = 5


@dataclass(frozen=True)
class Start:
    """Seconds from the command to its last line, and CPU seconds of each program by then."""

    seconds: float
    cpu: Mapping[str, float]


def run(plan: Plan) -> dict[str, Any]:
    """Start and stop the platform in a folder of its own, print the table, and return every start."""
    with TemporaryDirectory(prefix="brightrun-bench-") as folder:
        first = _start(Path(folder))
        starts = [_start(Path(folder)) for _ in range(plan.rounds)]
    _report(first, starts)
    return {"first": first, "starts": starts}


def _start(home: Path) -> Start:
    ports = Installation(home / "ports")
    environment = os.environ | {
        "BRIGHTRUN_HOME": str(home / "home"),
        "BRIGHTRUN_API_PORT": str(ports.port("api")),
        "BRIGHTRUN_WEB_PORT": str(ports.port("web")),
    }
    command = [sys.executable, "-m", "brightrun.local", "run"]
    began = time.monotonic()
    with subprocess.Popen(  # noqa: S603 - our own command
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        if LAST_LINE not in map(str.strip, process.stdout or ()):
            raise RuntimeError("the platform did not start")
        start = Start(round(time.monotonic() - began, 2), _cpu(psutil.Process(process.pid)))
        process.send_signal(signal.SIGINT)
        process.communicate()
    return start


def _cpu(supervisor: psutil.Process) -> dict[str, float]:
    seconds: dict[str, float] = {"local": _cpu_of(supervisor)}
    for program in supervisor.children():
        processes = [program, *program.children(recursive=True)]
        name = _name_of(program.cmdline())
        seconds[name] = round(sum(map(_cpu_of, processes)), 2)
    return seconds


def _cpu_of(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def _name_of(command: list[str]) -> str:
    service = next((part for part in command if part.startswith("brightrun.")), None)
    return service.split(".")[1] if service else Path(command[0]).name


def _report(first: Start, starts: list[Start]) -> None:
    print(f"first start  {first.seconds} s")
    print(f"second start {Spread.of([start.seconds for start in starts])} s")
    print(f"CPU          {Spread.of([sum(start.cpu.values()) for start in starts])} s")
    for name in starts[0].cpu:
        print(f"  {name:12} {Spread.of([start.cpu.get(name, 0.0) for start in starts])} s")
