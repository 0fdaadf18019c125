"""A program of the platform: an engine or a service."""

import os
import pwd
import shutil
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Self

import psutil

from brightrun.local.errors import StartError
from brightrun.local.installation import Installation

POLL_SECONDS = 0.05
START_SECONDS = 90.0
GRACE_SECONDS = 10.0
"""How long a process may take to save and end, when it is asked to."""


@dataclass(frozen=True, slots=True)
class LogRotation:
    """A log of more than `max_bytes` becomes the newest of `backups` rotated ones."""

    max_bytes: int = 10_000_000
    backups: int = 3


class Program(ABC):
    """One subprocess: its command, when it is ready, and how it stops with all its descendants."""

    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    grace_seconds: ClassVar[float] = GRACE_SECONDS

    def __init__(self, installation: Installation, name: str) -> None:
        self.installation = installation
        self.name = name
        self.needs: tuple[Program, ...] = ()
        """What has to serve before this is started."""
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0
        self._spawned = 0.0

    @abstractmethod
    def command(self) -> list[str]:
        """The command line; it stays in the foreground."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it serves."""

    def environment(self) -> Mapping[str, str]:
        """Environment variables in addition to those of this process."""
        return {}

    def account(self) -> pwd.struct_passwd | None:
        """The system account it runs as; None for that of this process."""
        return None

    @property
    def returncode(self) -> int | None:
        """The exit status; None while it runs or before it is started."""
        return self._process.poll() if self._process else None

    @property
    def pid(self) -> int | None:
        """The process id, or None when not started."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it and wait until it serves. Raises StartError."""
        self.spawn()
        while not self.has_started():
            time.sleep(POLL_SECONDS)

    def spawn(self) -> None:
        """Start the process without waiting for it."""
        log = self.installation.log(self.name)
        with log.open("ab") as output:
            self._log_start = output.tell()
            self._spawned = time.monotonic()
            self._process = subprocess.Popen(  # noqa: S603 - the command is ours
                self.command(),
                env={**os.environ, **self.environment()},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C in a terminal reaches only the supervisor, which ends the programs in order.
                start_new_session=True,
                umask=0o077,
                **_identity(self.account()),
            )

    def has_started(self) -> bool:
        """Whether it serves. Raises StartError when it ended or takes too long."""
        if self.returncode is not None:
            raise StartError(f"{self.name} ended while starting (exit status {self.returncode}): {self._clue()}")
        if self.is_ready():
            return True
        if time.monotonic() > self._spawned + START_SECONDS:
            self.kill()
            raise StartError(f"{self.name} was not ready within {START_SECONDS:.0f} s: {self._clue()}")
        return False

    def ask_to_stop(self) -> None:
        """Send the stop signal without waiting."""
        if self._process and self.returncode is None:
            self._process.send_signal(self.stop_signal)

    def stop(self) -> None:
        """End the process in good order, or by force after `grace_seconds`, and with it all that it started."""
        if not self._process:
            return
        started = descendants(self._process.pid)
        self.ask_to_stop()
        try:
            self._process.wait(self.grace_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        end(started, self.grace_seconds)
        self._process = None

    def kill(self) -> None:
        """Kill the process, as a crash would end it."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def rotate_log(self, rotation: LogRotation) -> None:
        """Copy a log that is too long, and empty it: the program keeps its file open, and appends.

        Lines that it writes between the two are lost.
        """
        log = self.installation.log(self.name)
        if log.stat().st_size <= rotation.max_bytes:
            return
        rotated = [log.with_name(f"{log.name}.{number}") for number in range(1, rotation.backups + 1)]
        for older, newer in reversed([*pairwise(rotated)]):
            if older.exists():
                older.replace(newer)
        if rotated:
            shutil.copyfile(log, rotated[0])
        os.truncate(log, 0)

    def log_since_start(self) -> str:
        """Its log since its last start, or since it was rotated."""
        with self.installation.log(self.name).open("rb") as log:
            if self._log_start <= os.fstat(log.fileno()).st_size:
                log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def _clue(self) -> str:
        lines = self.log_since_start().strip().splitlines() or ["it wrote nothing"]
        return f"{lines[-1][:300]} (log: {self.installation.log(self.name)})"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def call(
    command: Sequence[str], *, environment: Mapping[str, str] | None = None, account: pwd.struct_passwd | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with variables beside ours; returns its exit status and what it said."""
    return subprocess.run(  # noqa: S603 - the command is ours
        command,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        **_identity(account),
    )


def _identity(account: pwd.struct_passwd | None) -> dict[str, Any]:
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}


def descendants(pid: int) -> set[psutil.Process]:
    """All descendants of the process."""
    return {process for process in family({pid}) if process.pid != pid}


def family(pids: set[int]) -> set[psutil.Process]:
    """The processes and all their descendants."""
    children: defaultdict[int, list[psutil.Process]] = defaultdict(list)
    found: set[psutil.Process] = set()
    # One look at all processes: asking each for its children would read the whole table each time.
    for process in psutil.process_iter(["ppid"]):
        children[process.info["ppid"]].append(process)
        if process.pid in pids:
            found.add(process)
    unvisited = list(found)
    while unvisited:
        born = children[unvisited.pop().pid]
        found |= set(born)
        unvisited += born
    return found


def end(processes: Collection[psutil.Process], grace_seconds: float = GRACE_SECONDS) -> None:
    """End these processes: politely, then after `grace_seconds` by force."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        deadline = time.monotonic() + grace_seconds
        while (processes := [p for p in processes if not is_over(p)]) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)


def is_over(process: psutil.Process) -> bool:
    """Whether it has ended. Reaps an orphan that was inherited."""
    with suppress(psutil.NoSuchProcess, ChildProcessError):
        if process.status() != psutil.STATUS_ZOMBIE:
            return not process.is_running()
        os.waitpid(process.pid, os.WNOHANG)
    return True
