"""The trainer's one way to speak: JSON lines on what was standard output when the process began."""

import os
from typing import Self

from brightrun.contracts.reports import Report, StageReport


class Reporter:
    """Writes each report as one whole line at once; `sync` takes each through to the disk, where others see it."""

    def __init__(self, descriptor: int, sync: bool) -> None:
        self._descriptor = descriptor
        self._sync = sync

    @classmethod
    def take_stdout(cls, sync: bool = False) -> Self:
        """Keep standard output for reports alone: whatever else this process prints goes to standard error."""
        descriptor = os.dup(1)
        os.dup2(2, 1)
        return cls(descriptor, sync)

    def send(self, report: Report) -> None:
        """Write the report. Raises BrokenPipeError if nobody listens any more."""
        line = report.model_dump_json(exclude_none=True).encode() + b"\n"
        while line:
            line = line[os.write(self._descriptor, line) :]
        if self._sync:
            os.fsync(self._descriptor)

    def stage(self, stage: str, message: str = "") -> None:
        """Say which stage the run is in."""
        self.send(StageReport(stage=stage, message=message))
