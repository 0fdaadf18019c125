"""The further processes of a run on several GPUs of one machine, one a GPU; the first process starts them.

accelerate reads each process's rank from its environment and lets all train one adapter, each on its own batches.
"""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from brightrun.contracts.reports import REPORT, FailedReport
from brightrun.contracts.training import JobError
from brightrun_trainer.process.reporting import Reporter

MODULE = "brightrun_trainer.worker"
EXIT_TIMEOUT_SECONDS = 30.0


@contextmanager
def workers(count: int, run_dir: Path, checkpoint: Path | None, reporter: Reporter) -> Iterator[None]:
    """Become rank 0 of `count` processes and start the others; if one of them fails, the run fails.

    They end when this process does, because their standard input is a pipe from it.
    """
    if count == 1:
        yield
        return
    size = str(count)
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
    command = [sys.executable, "-m", MODULE, str(run_dir), *([str(checkpoint)] if checkpoint else [])]
    trained = threading.Event()
    processes = [_start(command, group | _rank(number)) for number in range(1, count)]
    for process in processes:
        threading.Thread(target=_watch, args=(process, trained, reporter), daemon=True).start()
    os.environ.update(group | _rank(0))
    yield
    trained.set()
    for process in processes:
        try:
            process.wait(EXIT_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


def _start(command: list[str], variables: dict[str, str]) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=os.environ | variables, stdin=pipe, stdout=pipe)  # noqa: S603


def _watch(process: subprocess.Popen[bytes], trained: threading.Event, reporter: Reporter) -> None:
    """Wait for the process to end; its exit code is ignored once the training is complete."""
    output, exit_code = process.stdout.read() if process.stdout else b"", process.wait()
    if exit_code and not trained.is_set():
        report = REPORT.validate_json(output) if output.strip() else None
        reporter.send_last(report if isinstance(report, FailedReport) else _lost(exit_code), exit_code=1)


def _lost(exit_code: int) -> FailedReport:
    end = f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
    return FailedReport(
        error=JobError(
            code="process_lost",
            message=f"A process of this training on another GPU ended unexpectedly ({end}).",
            advice="Try again; if it happens once more, give the run's log to the operator.",
            retryable=True,
        )
    )


def _rank(number: int) -> dict[str, str]:
    return {"RANK": str(number), "LOCAL_RANK": str(number)}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
