"""The further processes of a run on several GPUs of one machine, one a GPU; the first is the one that started them.

accelerate finds each process's place in its environment and lets them train one adapter, each on its own batches.
"""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from brightrun.contracts.reports import REPORT, FailedReport
from brightrun.contracts.training import JobError

MODULE = "brightrun_trainer.worker"
SECONDS_TO_LEAVE = 30.0
LOST = JobError(
    code="process_lost",
    message="A process of this training on another GPU ended unexpectedly.",
    advice="Try again; if it happens once more, give the run's log to the operator.",
    retryable=True,
)


@contextmanager
def together(count: int, run_dir: Path, checkpoint: Path | None, fail: Callable[[JobError], None]) -> Iterator[None]:
    """Become the first of `count` processes and start the others; `fail` is called if one of them ends with an error.

    They end when this process does, for their standard input is a pipe from it.
    """
    if count == 1:
        yield
        return
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())} | {
        name: str(count) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE")
    }
    command = [sys.executable, "-m", MODULE, str(run_dir), *([str(checkpoint)] if checkpoint else [])]
    trained = threading.Event()
    others = [_start(command, shared, rank) for rank in range(1, count)]
    for process in others:
        threading.Thread(target=_hear, args=(process, trained, fail), daemon=True).start()
    os.environ.update(shared | _place(0))
    yield
    trained.set()
    for process in others:
        _let_go(process)


def _start(command: list[str], shared: dict[str, str], rank: int) -> subprocess.Popen[bytes]:
    environment = os.environ | shared | _place(rank)
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603


def _hear(process: subprocess.Popen[bytes], trained: threading.Event, fail: Callable[[JobError], None]) -> None:
    """Wait for the process to end; what happens to it once the training is done does not matter."""
    said, code = process.stdout.read() if process.stdout else b"", process.wait()
    if code and not trained.is_set():
        report = REPORT.validate_json(said) if said.strip() else None
        fail(report.error if isinstance(report, FailedReport) else LOST)


def _let_go(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(SECONDS_TO_LEAVE)
    except subprocess.TimeoutExpired:
        process.kill()


def _place(rank: int) -> dict[str, str]:
    return {"RANK": str(rank), "LOCAL_RANK": str(rank)}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
