"""Requests to end before the training is complete: signals, and the file `order` in the run's folder."""

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NoReturn

from brightrun.contracts.run_folder import STOP_REQUEST

SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})
POLL_SECONDS = 0.25


class StopRequested(Exception):
    """The run was asked to stop at a point where nothing is left to finish."""


class StopSignal:
    """SIGTERM, Ctrl-C or `checkpoint` in the file: save and stop. `finish` in the file: stop training, then deliver.

    A stop ends the process at once, through `end`, until `defer` is called; from then on it is a flag that the training
    reads.
    """

    def __init__(self, end: Callable[[], NoReturn]) -> None:
        self.requested = False
        self.finishing = False
        self._end = end
        self._deferred = False
        # A thread takes the signals: the main thread runs no handler during a long PyTorch call.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        threading.Thread(target=self._wait_for_signals, daemon=True).start()

    def watch(self, run_dir: Path, launch: int | None) -> None:
        """Follow the file from now on; trainer number `launch` also ends when the file names a later one.

        Each look opens the file anew, which makes NFS fetch what another machine wrote.
        """
        self._read(run_dir / STOP_REQUEST, launch)
        threading.Thread(target=self._poll, args=(run_dir / STOP_REQUEST, launch), daemon=True).start()

    def defer(self) -> None:
        """From now on a stop waits until the training has saved."""
        self._deferred = True

    def _wait_for_signals(self) -> None:
        while True:
            signal.sigwait(SIGNALS)
            self._stop()

    def _stop(self) -> None:
        self.requested = True
        if not self._deferred:
            self._end()  # ends the process: an exception could be swallowed by the code that it interrupts

    def _poll(self, file: Path, launch: int | None) -> None:
        while True:
            time.sleep(POLL_SECONDS)
            self._read(file, launch)

    def _read(self, file: Path, launch: int | None) -> None:
        try:
            number, _, mode = file.read_text().strip().partition(" ")
        except OSError:
            return
        if launch is not None and number.isdecimal() and int(number) > launch:
            os._exit(0)  # without a report: the later trainer reports now
        if mode == "finish":
            self.finishing = True
        elif mode == "checkpoint" and not self.requested:
            self._stop()


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
