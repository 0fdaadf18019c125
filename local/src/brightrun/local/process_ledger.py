"""Every process of the platform, remembered on disk, so that the next start can end what a crash left behind."""

import fcntl
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from brightrun.local.errors import StartError
from brightrun.local.installation import Installation, read_json, write_json
from brightrun.local.program import GRACE_SECONDS, end, family, is_over

CLOCK_TOLERANCE = 1.0
"""Seconds by which a process's start may seem to move when the system clock is set."""


class ProcessLedger:
    """The processes that were started for one installation, with their children's children."""

    def __init__(self, path: Path, grace_seconds: float = GRACE_SECONDS) -> None:
        self._path = path
        self._grace_seconds = grace_seconds
        self._alive: set[psutil.Process] = set()

    def update(self, programs: Iterable[int]) -> None:
        """Look for new and ended processes; `programs` are the process ids of the programs themselves."""
        own = set(programs)
        found = family(own | {process.pid for process in self._alive}) | self._alive
        alive = {process for process in found if process.pid in own or not is_over(process)}
        if alive != self._alive:
            self._alive = alive
            write_json(self._path, [{"pid": p.pid, "created": p.create_time()} for p in alive])

    def end_all(self) -> None:
        """End every process that still runs."""
        end([process for process in self._alive if not is_over(process)], self._grace_seconds)
        self._alive = set()
        self._path.unlink(missing_ok=True)

    def adopt_leftovers(self) -> int:
        """Take over what an earlier supervisor left running; returns how many processes."""
        born = {entry["pid"]: entry["created"] for entry in read_json(self._path, [])}
        left = [p for p in psutil.process_iter() if abs(p.create_time() - born.get(p.pid, 0)) < CLOCK_TOLERANCE]
        self._alive = family({process.pid for process in left})
        return len(self._alive)


@contextmanager
def claim(
    installation: Installation, say: Callable[[str], None], grace_seconds: float = GRACE_SECONDS
) -> Iterator[ProcessLedger]:
    """Hold the installation alone, with nothing of an earlier run left; raises `StartError` when another holds it."""
    with (installation.home / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            home = installation.home
            raise StartError(f"BrightRun already runs in {home}: stop it, or set BRIGHTRUN_HOME elsewhere") from None
        ledger = ProcessLedger(installation.home / "processes.json", grace_seconds)
        if leftovers := ledger.adopt_leftovers():
            say(f"ending {leftovers} processes that an earlier run left behind")
        ledger.end_all()
        try:
            yield ledger
        finally:
            ledger.end_all()
