"""The requests to end before the training is through: signals, and the order in the run's folder."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})
ORDER = "order"
SECONDS_BETWEEN_LOOKS = 0.25


class StopRequested(Exception):
    """The run was asked to stop at a point where nothing is left to finish."""


class StopSignal:
    """SIGTERM, Ctrl-C or the order `checkpoint`: save and stop. The order `finish`: train no further, then deliver.

    A stop ends the process at once while there is nothing to save; later it is remembered for the training to act on.
    """

    def __init__(self, last_words: Callable[[], NoReturn]) -> None:
        self.requested = False
        self.finishing = False
        self._last_words = last_words
        self._at_once = True
        # Taken by a thread, because the main one does not hear a signal before a long PyTorch call is over.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        threading.Thread(target=self._keep_listening, daemon=True).start()

    def obey(self, run_dir: Path, launch: int | None) -> None:
        """From now on follow the folder's order; trainer number `launch` also ends when a later one takes its place.

        The file is opened anew for each look, because that is what makes NFS fetch what another machine wrote.
        """
        self._look(run_dir / ORDER, launch)
        threading.Thread(target=self._keep_looking, args=(run_dir / ORDER, launch), daemon=True).start()

    def defer(self) -> None:
        """From now on a request waits until the training has saved."""
        self._at_once = False

    def check(self) -> None:
        """Raise StopRequested if a stop was requested."""
        if self.requested:
            raise StopRequested

    def _keep_listening(self) -> None:
        while True:
            signal.sigwait(SIGNALS)
            self._receive()

    def _receive(self) -> None:
        self.requested = True
        if self._at_once:
            self._last_words()  # which ends the process: an exception could be swallowed by what it interrupts

    def _keep_looking(self, order: Path, launch: int | None) -> None:
        while True:
            time.sleep(SECONDS_BETWEEN_LOOKS)
            self._look(order, launch)

    def _look(self, order: Path, launch: int | None) -> None:
        try:
            number, _, word = order.read_text().strip().partition(" ")
        except OSError:
            return
        if launch is not None and number.isdecimal() and int(number) > launch:
            os._exit(0)  # without a word: the later trainer speaks now
        if word == "finish":
            self.finishing = True
        elif word == "checkpoint" and not self.requested:
            self._receive()
