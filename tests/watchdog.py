"""Ends all that this process has started once it is dead, whatever killed it: SIGKILL too.

A program that starts engines or services calls `watch` first. They are found by an environment variable, which is
inherited through sessions and double forks. A trainer, which has little of its cluster's environment, is found as its
child.
"""

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import psutil

from brightrun.local.program import end, family

ROOT = Path(__file__).parents[1]
VARIABLE = "BRIGHTRUN_STARTED_BY"
POLL_SECONDS = 0.5
GRACE_SECONDS = 3.0

_started: list[subprocess.Popen[bytes]] = []


def watch() -> None:
    """Start the process that ends, after this one, what this one starts from now on."""
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    os.environ[VARIABLE] = str(uuid4())
    command = [sys.executable, "-m", "tests.watchdog", str(os.getpid()), os.environ[VARIABLE]]
    null = subprocess.DEVNULL
    _started.append(
        subprocess.Popen(
            command, env=environment, cwd=ROOT, stdin=null, stdout=null, stderr=null, start_new_session=True
        )
    )


def main(parent: int, mark: str) -> None:
    """Wait for the end of `parent`, then end every process that has its mark, and their descendants."""
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    while marked := {process.pid for process in psutil.process_iter() if _has_mark(process, mark)}:
        end(family(marked), GRACE_SECONDS)


def _has_mark(process: psutil.Process, mark: str) -> bool:
    with suppress(psutil.Error, OSError):
        return process.status() != psutil.STATUS_ZOMBIE and process.environ().get(VARIABLE) == mark
    return False


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
