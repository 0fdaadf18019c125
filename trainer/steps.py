"""Steps of a set-up: one line each, with the elapsed seconds; the output of their commands goes into a log.

`python3 trainer/steps.py TITLE LOG COMMAND…` runs one command as a step. Needs only Python >= 3.11.
"""

from __future__ import annotations  # lets an older Python reach the line that names the version needed

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

PROGRESS_SECONDS = 10
REMEDIES = {
    "No space left on device": "the disk is full: free about 3 GB, then run this again",
    "ensurepip is not": "this Python has no venv module: install it (Debian: apt-get install python3-venv), then run"
    " this again",
    "Failed to fetch": "the package index does not answer: check the network, or name another one (UV_DEFAULT_INDEX),"
    " then run this again",
}
"""Words in a command's output, and the cause with what to do."""


class StepError(Exception):
    """A step failed; the message is one line that says why and what to do."""


@contextmanager
def step(title: str) -> Iterator[None]:
    """Print the title of a step, and at its end how long it took."""
    print(f"{title} …", end="", flush=True)
    started = time.monotonic()
    outcome = "failed after"
    try:
        yield
        outcome = "done in"
    finally:
        print(f" {outcome} {time.monotonic() - started:.1f} s", flush=True)


def run(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
    """Run a command with its output in the log; prints the elapsed seconds meanwhile. Raises StepError."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as output:
        output.write(f"$ {' '.join(command)}\n")
        output.flush()
        start = output.tell()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)  # noqa: S603
        try:
            _wait(process)
        finally:
            process.terminate()
    if process.returncode:
        raise StepError(_cause(log, start))


def _wait(process: subprocess.Popen[bytes]) -> None:
    started = time.monotonic()
    while True:
        try:
            process.wait(timeout=PROGRESS_SECONDS)
            return
        except subprocess.TimeoutExpired:
            print(f" {time.monotonic() - started:.0f} s …", end="", flush=True)


def _cause(log: Path, start: int) -> str:
    output = log.read_bytes()[start:].decode(errors="replace")
    for words, remedy in REMEDIES.items():
        if words in output:
            return f"{remedy} (log: {log})"
    lines = [line.strip() for line in output.split("\n") if line.strip()]
    error = next((line for line in lines if line.lower().startswith(("error", "×"))), lines[-1] if lines else "?")
    return f"{error[:200]} (log: {log})"


def main() -> None:
    """Run the step; exits 1 with one line when it fails."""
    title, log, *command = sys.argv[1:]
    try:
        with step(title):
            run(command, Path(log))
    except (StepError, OSError) as error:
        sys.exit(f"set-up: {error}")
    except KeyboardInterrupt:
        sys.exit("set-up: interrupted, run this again to go on")


if __name__ == "__main__":
    main()
