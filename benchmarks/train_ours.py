"""`train_ours.py RUN_DIR`: the shipped trainer with a clock on its reporting; run by the trainer's Python.

Writes RUN_DIR/reporting.json: `{"share": …}`, the part of the training's time in which it reported instead.
"""
# mypy: disable-error-code="import-not-found"

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from brightrun_trainer import __main__ as trainer
from brightrun_trainer.training.callbacks import Reporting


class Clock:
    """Seconds that `Reporting` took, and those from its first call to its last."""

    def __init__(self) -> None:
        self._spent, self._first, self._last = 0.0, 0.0, 0.0

    def on(self, call: Callable[..., None]) -> Callable[..., None]:
        """The same call, with its time counted."""

        def counted(*args: Any, **kwargs: Any) -> None:
            began = time.perf_counter()
            call(*args, **kwargs)
            self._last = time.perf_counter()
            self._first = self._first or began
            self._spent += self._last - began

        return counted

    @property
    def share(self) -> float:
        """Of the time between the first call and the last."""
        return self._spent / (self._last - self._first)


def main() -> None:
    """Run as this process."""
    clock = Clock()
    for name, call in dict(vars(Reporting)).items():
        if name.startswith("on_"):
            setattr(Reporting, name, clock.on(call))
    trainer.main()
    Path(sys.argv[1], "reporting.json").write_text(json.dumps({"share": clock.share}))
    os._exit(0)


if __name__ == "__main__":
    main()
