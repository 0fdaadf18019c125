"""JSON lines on standard output: the trainer's only way to report."""

import os
import sys
import traceback
from threading import Lock
from typing import NoReturn

from pydantic import BaseModel

from brightrun.contracts.reports import FailedReport, StageReport
from brightrun_trainer.process.failures import explain


class Reporter:
    """Writes each message as one line, at once; `sync` flushes it to disk, where other machines see it."""

    def __init__(self, sync: bool = False) -> None:
        """Keep standard output for messages alone: anything else this process prints goes to standard error."""
        self._descriptor = os.dup(1)
        os.dup2(2, 1)
        self._sync = sync
        self._lock = Lock()

    def send(self, message: BaseModel) -> None:
        """Write the message. Raises BrokenPipeError if the reader is gone."""
        with self._lock:
            self._write(message)

    def send_last(self, message: BaseModel, exit_code: int = 0) -> NoReturn:
        """Write the message and end the process; other threads report nothing after it."""
        with self._lock:
            self._write(message)
            os._exit(exit_code)

    def fail(self, error: BaseException) -> NoReturn:
        """Print the traceback, report the failure and end the process at once.

        A normal exit would wait for the processes of other GPUs, which wait for this one.
        """
        traceback.print_exception(error)
        sys.stderr.flush()
        self.send_last(FailedReport(error=explain(error)), exit_code=1)

    def stage(self, stage: str, message: str = "") -> None:
        self.send(StageReport(stage=stage, message=message))

    def _write(self, message: BaseModel) -> None:
        line = message.model_dump_json(exclude_none=True).encode() + b"\n"
        while line:
            line = line[os.write(self._descriptor, line) :]
        if self._sync:
            os.fsync(self._descriptor)
