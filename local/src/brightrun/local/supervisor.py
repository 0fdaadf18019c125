"""Starts programs as soon as what they need serves, restarts those that die, and stops all in order."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from brightrun.local.pid_files import PidFile
from brightrun.local.program import POLL_SECONDS, LogRotation, Program

TICK_SECONDS = 0.5
MAX_PAUSE = 30.0
STEADY_SECONDS = 60.0

Wave = Sequence[Program]


@dataclass
class Restarts:
    """How often a program died lately, and when it is restarted."""

    started: float
    count: int = 0
    due: float | None = None

    def plan(self, now: float) -> float:
        """Plan the next start after a pause that doubles; returns the pause in seconds."""
        self.count = 1 if now - self.started > STEADY_SECONDS else self.count + 1
        pause = min(2.0 ** (self.count - 1), MAX_PAUSE)
        self.due = now + pause
        return pause


class Supervisor:
    """Runs programs. A wave is stopped before the wave in front of it; `Program.needs` orders the start."""

    def __init__(
        self,
        waves: Sequence[Wave],
        pid_file: PidFile,
        say: Callable[[str], None],
        log_rotation: LogRotation = LogRotation(),  # noqa: B008 - it is frozen
    ) -> None:
        self._waves = waves
        self._programs = [program for wave in waves for program in wave]
        self._pid_file = pid_file
        self._say = say
        self._log_rotation = log_rotation
        self._restarts: dict[str, Restarts] = {}
        self._last_report = ""
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="supervisor")

    def __enter__(self) -> Self:
        """Start all programs. Raises StartError when one does not come up, and stops the others then."""
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop all programs, the last wave first."""
        self._stopping.set()
        self._watcher.join()
        self._stop()

    def _start(self) -> None:
        began = time.monotonic()
        starting = list(self._programs)
        while starting:
            startable = [p for p in starting if p.pid is None and not any(need in starting for need in p.needs)]
            for program in startable:
                self._spawn(program)
            if startable:
                self._record()
            for program in [p for p in starting if p.pid is not None and p.has_started()]:
                starting.remove(program)
                self._say(f"ready after {time.monotonic() - began:.1f} s: {program.name}")
            time.sleep(POLL_SECONDS)
        self._record()  # with what the programs started by now

    def _stop(self) -> None:
        self._record()
        for wave in reversed(self._waves):
            for program in wave:
                program.ask_to_stop()
            for program in wave:
                program.stop()

    def _watch(self) -> None:
        while not self._stopping.wait(TICK_SECONDS):
            # A full disk, say: programs are revived all the same, and the next tick records them.
            for step in (self._revive_dead, self._record, self._rotate_logs):
                try:
                    step()
                except Exception as error:
                    self._report(f"supervisor: {error!r}")

    def _revive_dead(self) -> None:
        for program in self._programs:
            if program.returncode is not None:
                self._revive(program)

    def _rotate_logs(self) -> None:
        for program in self._programs:
            program.rotate_log(self._log_rotation)

    def _report(self, line: str) -> None:
        """Say it once, where the output takes it."""
        if line != self._last_report:
            self._last_report = line
            with suppress(OSError):
                self._say(line)

    def _revive(self, program: Program) -> None:
        restarts, now = self._restarts[program.name], time.monotonic()
        if restarts.due is None:
            pause = restarts.plan(now)
            self._report(f"{program.name} ended (exit status {program.returncode}), starting it again in {pause:.0f} s")
        elif now >= restarts.due:
            self._spawn(program)

    def _spawn(self, program: Program) -> None:
        program.spawn()
        known = self._restarts.get(program.name)
        self._restarts[program.name] = Restarts(time.monotonic(), known.count if known else 0)

    def _record(self) -> None:
        self._pid_file.update(pid for program in self._programs if (pid := program.pid) is not None)
