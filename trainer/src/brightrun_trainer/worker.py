"""`python -m brightrun_trainer.worker RUN_DIR [CHECKPOINT]`: a further process of a run on several GPUs.

It trains along with the first process, which reports and saves, and ends when its standard input does.
"""

import os
import signal
import sys
import threading
import traceback
from pathlib import Path

from brightrun.contracts.reports import FailedReport
from brightrun_trainer.failures import explain
from brightrun_trainer.imports import uncollected
from brightrun_trainer.reporting import Reporter


def main() -> None:
    """Train along; exits 1 with a report if it cannot."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # the first process is asked, and says when all stop
    reporter = Reporter.take_stdout()
    threading.Thread(target=_end_with_the_first, daemon=True).start()
    try:
        with uncollected():
            from brightrun_trainer.run import train_along  # noqa: PLC0415

        train_along(Path(sys.argv[1]), Path(sys.argv[2]) if sys.argv[2:] else None)
        sys.stderr.flush()
        os._exit(0)  # the thread that reads would not let the interpreter end
    except Exception as error:
        traceback.print_exc()
        reporter.send(FailedReport(error=explain(error)))
        sys.stderr.flush()
        os._exit(1)  # at once: leaving a group of processes that still wait for this one can take for ever


def _end_with_the_first() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    main()
