"""`python -m brightrun_trainer RUN_DIR [--resume]`: trains what RUN_DIR/spec.json asks for.

RUN_DIR/order may hold `N finish` (train no further, then deliver) or `N checkpoint` (save and stop), N being --launch.
"""

import argparse
import os
import sys
import traceback
from pathlib import Path

from brightrun.contracts.reports import FailedReport, FinishedReport
from brightrun_trainer import checkpoints
from brightrun_trainer.failures import explain
from brightrun_trainer.folder_lock import alone
from brightrun_trainer.imports import uncollected
from brightrun_trainer.reporting import Reporter
from brightrun_trainer.stop import StopSignal
from brightrun_trainer.task import read_task


def main() -> None:
    """Train, and report on standard output how it goes and how it ends; exits 1 if it failed."""
    parser = argparse.ArgumentParser(prog="brightrun_trainer", description=__doc__)
    parser.add_argument("run_dir", metavar="RUN_DIR", type=Path)
    parser.add_argument("--resume", action="store_true", help="go on from the newest complete checkpoint, if any")
    parser.add_argument("--launch", type=int, help="this trainer's number; it ends when the order names a higher one")
    parser.add_argument("--processes", type=int, default=0, help="one a GPU; by default as many as GPUs are seen")
    parser.add_argument(
        "--patience", type=float, default=1.0, help="seconds that a step may still take when asked to stop"
    )
    parser.add_argument("--sync", action="store_true", help="write reports through, for other machines to read them")
    arguments = parser.parse_args()
    run_dir: Path = arguments.run_dir.resolve()
    reporter = Reporter.take_stdout(arguments.sync)
    checkpoint = checkpoints.newest(run_dir / "checkpoints") if arguments.resume else None
    tokens = checkpoint.trained_tokens if checkpoint else 0
    stop = StopSignal(lambda: reporter.send_last(FinishedReport(outcome="stopped", trained_tokens=tokens)))
    stop.obey(run_dir, arguments.launch)
    try:
        with alone(run_dir, reporter):
            task = read_task(run_dir)
            reporter.stage("loading", "starting PyTorch and Transformers")
            # Takes seconds: what is wrong, or to be stopped, is said before.
            with uncollected():
                from brightrun_trainer.run import Course, train  # noqa: PLC0415

            course = Course(checkpoint, arguments.processes, arguments.patience)
            reporter.send(train(run_dir, task, course, reporter, stop))
    except Exception as error:
        traceback.print_exc()
        sys.stderr.flush()
        # At once: processes of other GPUs may wait for this one, and would be waited for.
        reporter.send_last(FailedReport(error=explain(error)), exit_code=1)


if __name__ == "__main__":
    main()
    # At once: a library's thread that is in C++ when Python takes itself apart ends the process with SIGABRT.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
