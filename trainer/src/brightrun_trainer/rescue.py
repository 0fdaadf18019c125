"""Ends a training that was asked to stop and is still in the middle of a long step or evaluation."""

import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager

from brightrun_trainer.stop import StopSignal

SECONDS_BETWEEN_LOOKS = 0.1


class Rescue:
    """Waits for the training to stop by itself for `patience` seconds, then saves its last whole step and ends it.

    `end` is called from another thread, with `lock` held, and does not come back if it could save.
    """

    def __init__(
        self, stop: StopSignal, patience: float, lock: AbstractContextManager[object], end: Callable[[], None]
    ) -> None:
        self._stop = stop
        self._patience = patience
        self._lock = lock
        self._end = end
        self._over = False

    def __enter__(self) -> None:
        threading.Thread(target=self._watch, daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self._over = True
        with self._lock:  # whoever holds it for saving ends the process
            pass

    def _watch(self) -> None:
        asked: float | None = None
        while not self._over:
            time.sleep(SECONDS_BETWEEN_LOOKS)
            if self._stop.requested:
                asked = asked or time.monotonic()
                if time.monotonic() - asked >= self._patience:
                    return self._rescue()
        return None

    def _rescue(self) -> None:
        with self._lock:
            if self._over:
                return
            try:
                self._end()
            except Exception:  # the training itself is still there to stop
                print("the last step could not be saved while the next one runs:", file=sys.stderr)
                traceback.print_exc()
