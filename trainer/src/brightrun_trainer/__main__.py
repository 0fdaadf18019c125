"""`python -m brightrun_trainer RUN_DIR [--resume]`: trains what RUN_DIR/spec.json asks for.

The file RUN_DIR/order may hold `N finish` (stop training, then deliver) or `N checkpoint` (save and stop); N: --launch.
"""

import argparse
import os
import sys
from pathlib import Path

from brightrun.contracts.reports import FinishedReport
from brightrun.contracts.run_folder import CHECKPOINTS
from brightrun_trainer.data.split import read_task
from brightrun_trainer.process.folder_lock import locked_folder
from brightrun_trainer.process.imports import without_garbage_collection
from brightrun_trainer.process.reporting import Reporter
from brightrun_trainer.process.stop import StopSignal
from brightrun_trainer.training import checkpoints


def main() -> None:
    """Train and report on standard output; exits 1 after a failure."""
    parser = argparse.ArgumentParser(prog="brightrun_trainer", description=__doc__)
    parser.add_argument("run_dir", metavar="RUN_DIR", type=Path)
    parser.add_argument("--resume", action="store_true", help="resume from the newest complete checkpoint, if any")
    parser.add_argument("--launch", type=int, help="this trainer's number; it ends when the order names a higher one")
    parser.add_argument("--processes", type=int, default=0, help="one a GPU; default: the number of visible GPUs")
    parser.add_argument("--patience", type=float, default=1.0, help="seconds that a stop waits for the current step")
    parser.add_argument("--sync", action="store_true", help="flush reports to disk, where other machines read them")
    arguments = parser.parse_args()
    run_dir: Path = arguments.run_dir.resolve()
    reporter = Reporter(arguments.sync)
    checkpoint = checkpoints.newest(run_dir / CHECKPOINTS) if arguments.resume else None
    tokens = checkpoint.trained_tokens if checkpoint else 0
    stop = StopSignal(lambda: reporter.send_last(FinishedReport(outcome="stopped", trained_tokens=tokens)))
    stop.watch(run_dir, arguments.launch)
    try:
        with locked_folder(run_dir, reporter):
            task = read_task(run_dir)
            reporter.stage("loading", "starting PyTorch and Transformers")
            # Takes seconds: an invalid task or a stop is reported before.
            with without_garbage_collection():
                from brightrun_trainer.training.run import RunOptions, train  # noqa: PLC0415

            options = RunOptions(checkpoint, arguments.processes, arguments.patience)
            reporter.send(train(run_dir, task, options, reporter, stop))
    except Exception as error:
        reporter.fail(error)


if __name__ == "__main__":
    main()
    # Ends at once: at interpreter exit, a library's thread that is in C++ ends the process with SIGABRT.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
