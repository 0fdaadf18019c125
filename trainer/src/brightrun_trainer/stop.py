"""The request to stop: SIGTERM, or Ctrl-C."""

import os
import signal
from collections.abc import Callable
from types import FrameType


class StopRequested(Exception):
    """The run was asked to stop at a point where nothing is left to finish."""


class StopSignal:
    """Ends the process at once while there is nothing to save; later it is remembered for the training to act on."""

    def __init__(self, last_words: Callable[[], None]) -> None:
        self.requested = False
        self._last_words = last_words
        self._at_once = True
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._receive)

    def defer(self) -> None:
        """From now on a request waits until the training has saved."""
        self._at_once = False

    def check(self) -> None:
        """Raise StopRequested if a stop was requested."""
        if self.requested:
            raise StopRequested

    def _receive(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True
        if self._at_once:
            self._last_words()
            os._exit(0)  # an exception could be swallowed by whichever import or download it interrupts
