"""The trainer's one way to speak: JSON lines on what was standard output when the process began."""

import os
from threading import Lock
from typing import NoReturn, Self

from brightrun.contracts.reports import Report, StageReport


class Reporter:
    """Writes each report as one whole line at once; `sync` takes each through to the disk, where others see it."""

    def __init__(self, descriptor: int, sync: bool) -> None:
        self._descriptor = descriptor
        self._sync = sync
        self._speaking = Lock()

    @classmethod
    def take_stdout(cls, sync: bool = False) -> Self:
        """Keep standard output for reports alone: whatever else this process prints goes to standard error."""
        descriptor = os.dup(1)
        os.dup2(2, 1)
        return cls(descriptor, sync)

    def send(self, report: Report) -> None:
        """Write the report. Raises BrokenPipeError if nobody listens any more."""
        with self._speaking:
            self._write(report)

    def send_last(self, report: Report, exit_code: int = 0) -> NoReturn:
        """Write the report and end the process, whatever its other threads are about to say."""
        with self._speaking:
            self._write(report)
            os._exit(exit_code)

    def stage(self, stage: str, message: str = "") -> None:
        """Say which stage the run is in."""
        self.send(StageReport(stage=stage, message=message))

    def _write(self, report: Report) -> None:
        line = report.model_dump_json(exclude_none=True).encode() + b"\n"
        while line:
            line = line[os.write(self._descriptor, line) :]
        if self._sync:
            os.fsync(self._descriptor)
