"""One trainer at a time in a run's folder, over all machines that share it."""

import fcntl
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from brightrun_trainer.failures import TrainingFailure
from brightrun_trainer.reporting import Reporter

PATIENCE_SECONDS = 300.0
SECONDS_BETWEEN_TRIES = 0.5


@contextmanager
def alone(run_dir: Path, reporter: Reporter, patience: float = PATIENCE_SECONDS) -> Iterator[None]:
    """Hold the folder's lock; a trainer that was given up on may still be about to end. Raises TrainingFailure."""
    with (run_dir / "lock").open("w") as lock:
        deadline = time.monotonic() + patience
        waiting = False
        while not _locked(lock.fileno()):
            if not waiting:
                reporter.stage("loading", "waits for the trainer before it to end")
                waiting = True
            if time.monotonic() > deadline:
                raise TrainingFailure(
                    "folder_busy", "Another trainer still works on this run.", "Try the job again.", retryable=True
                )
            time.sleep(SECONDS_BETWEEN_TRIES)
        yield


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:  # a file system without locks
        print(f"the run's folder cannot be locked: {error}", file=sys.stderr)
    return True
