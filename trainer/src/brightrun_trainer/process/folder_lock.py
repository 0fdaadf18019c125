"""One trainer at a time in a run's folder, on all machines that share it."""

import fcntl
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from brightrun_trainer.process.failures import TrainingFailure
from brightrun_trainer.process.reporting import Reporter

TIMEOUT_SECONDS = 300.0
POLL_SECONDS = 0.5


@contextmanager
def locked_folder(run_dir: Path, reporter: Reporter) -> Iterator[None]:
    """Hold the folder's lock. Waits for an earlier trainer that is still ending; raises TrainingFailure."""
    with (run_dir / "lock").open("w") as lock:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        if not _acquire(lock.fileno()):
            reporter.stage("loading", "waiting for the previous trainer to end")
        while not _acquire(lock.fileno()):
            if time.monotonic() > deadline:
                raise TrainingFailure(
                    "folder_busy", "Another trainer still works on this run.", "Try the job again.", retryable=True
                )
            time.sleep(POLL_SECONDS)
        yield


def _acquire(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:  # a file system without locks
        print(f"the run's folder cannot be locked: {error}", file=sys.stderr)
    return True
