"""`python -m brightrun_trainer.worker RUN_DIR [CHECKPOINT]`: a further process of a run on several GPUs.

It trains with the first process, which reports and saves. It ends when its standard input does.
"""

import os
import signal
import sys
import threading
from pathlib import Path

from brightrun_trainer.process.imports import without_garbage_collection
from brightrun_trainer.process.reporting import Reporter


def main() -> None:
    """Train with the others; exits 1 with a report after a failure."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # the first process gets the signal and tells the others when to stop
    reporter = Reporter()
    threading.Thread(target=_end_with_first_process, daemon=True).start()
    try:
        with without_garbage_collection():
            from brightrun_trainer.training.run import train_as_worker  # noqa: PLC0415

        train_as_worker(Path(sys.argv[1]), Path(sys.argv[2]) if sys.argv[2:] else None)
    except Exception as error:
        reporter.fail(error)
    sys.stderr.flush()
    os._exit(0)  # the thread that reads standard input would keep the interpreter from ending


def _end_with_first_process() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    main()
