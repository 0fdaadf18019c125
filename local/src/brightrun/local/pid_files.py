"""The process ids of the platform, on disk, so that the next start can end processes that a crash left behind."""

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


class PidFile:
    """The programs of one installation and all their descendants."""

    def __init__(self, path: Path, grace_seconds: float = GRACE_SECONDS) -> None:
        self._path = path
        self._grace_seconds = grace_seconds
        self._alive: set[psutil.Process] = set()

    def update(self, programs: Iterable[int]) -> None:
        """Record new and ended processes; `programs` are the process ids of the programs themselves."""
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
        """Take over the processes of an earlier supervisor; returns how many."""
        created = {entry["pid"]: entry["created"] for entry in read_json(self._path, [])}
        leftovers = [p for p in psutil.process_iter() if abs(p.create_time() - created.get(p.pid, 0)) < CLOCK_TOLERANCE]
        self._alive = family({process.pid for process in leftovers})
        return len(self._alive)


@contextmanager
def locked(
    installation: Installation, say: Callable[[str], None], grace_seconds: float = GRACE_SECONDS
) -> Iterator[PidFile]:
    """Lock the installation and end leftovers of an earlier run. Raises StartError when another process has it."""
    with (installation.home / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            home = installation.home
            raise StartError(f"BrightRun already runs in {home}: stop it, or set BRIGHTRUN_HOME elsewhere") from None
        pid_file = PidFile(installation.home / "processes.json", grace_seconds)
        if leftovers := pid_file.adopt_leftovers():
            say(f"ending {leftovers} processes that an earlier run left behind")
        pid_file.end_all()
        try:
            yield pid_file
        finally:
            pid_file.end_all()
