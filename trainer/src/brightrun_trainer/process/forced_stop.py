"""Ends a training that was asked to stop and is still in the middle of a long step or evaluation."""

import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from brightrun_trainer.process.stop import StopSignal

POLL_SECONDS = 0.1


@contextmanager
def forced_stop(
    stop: StopSignal, patience: float, lock: AbstractContextManager[object], end: Callable[[], None]
) -> Iterator[None]:
    """Give a requested stop `patience` seconds to take effect; then another thread calls `end` with `lock` held.

    `end` saves the last whole step and ends the process; it returns or raises only if it could not save.
    """
    ended = threading.Event()

    def watch() -> None:
        while not stop.requested:
            if ended.wait(POLL_SECONDS):
                return
        if ended.wait(patience):
            return
        with lock:
            if not ended.is_set():
                try:
                    end()
                except Exception:  # the training itself can still stop
                    print("the last step could not be saved during the next one:", file=sys.stderr)
                    traceback.print_exc()

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        with lock:  # if the thread holds it, the process ends here
            pass
