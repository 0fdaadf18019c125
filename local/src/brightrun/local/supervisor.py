"""Starts programs in order, keeps them running, and ends them in reverse."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from brightrun.local.process_ledger import ProcessLedger
from brightrun.local.program import POLL_SECONDS, Program

TICK_SECONDS = 0.5
MAX_PAUSE = 30.0
STEADY_SECONDS = 60.0

Wave = Sequence[Program]


@dataclass
class Restarts:
    """How often a program died lately, and when it is started again."""

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
    """Runs waves of programs: the programs of a wave start together, once the wave before is ready."""

    def __init__(self, waves: Sequence[Wave], ledger: ProcessLedger, say: Callable[[str], None]) -> None:
        self._waves = waves
        self._programs = [program for wave in waves for program in wave]
        self._ledger = ledger
        self._say = say
        self._restarts: dict[str, Restarts] = {}
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="supervisor")

    def __enter__(self) -> Self:
        """Start every wave; raises `StartError` when a program does not come up, with nothing left running."""
        try:
            for wave in self._waves:
                self._start(wave)
        except BaseException:
            self._stop()
            raise
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End all programs, the last wave first."""
        self._stopping.set()
        self._watcher.join()
        self._stop()

    def _start(self, wave: Wave) -> None:
        began = time.monotonic()
        for program in wave:
            self._spawn(program)
        starting = list(wave)
        while starting := [program for program in starting if not program.has_started()]:
            time.sleep(POLL_SECONDS)
        self._record()
        names = ", ".join(program.name for program in wave)
        self._say(f"ready after {time.monotonic() - began:.1f} s: {names}")

    def _stop(self) -> None:
        self._record()
        for wave in reversed(self._waves):
            for program in wave:
                program.ask_to_stop()
            for program in wave:
                program.stop()

    def _watch(self) -> None:
        while not self._stopping.wait(TICK_SECONDS):
            for program in self._programs:
                if program.returncode is not None:
                    self._revive(program)
            self._record()

    def _revive(self, program: Program) -> None:
        restarts, now = self._restarts[program.name], time.monotonic()
        if restarts.due is None:
            pause = restarts.plan(now)
            self._say(f"{program.name} ended (exit status {program.returncode}), starting it again in {pause:.0f} s")
        elif now >= restarts.due:
            self._spawn(program)

    def _spawn(self, program: Program) -> None:
        program.spawn()
        known = self._restarts.get(program.name)
        self._restarts[program.name] = Restarts(time.monotonic(), known.count if known else 0)
        self._record()

    def _record(self) -> None:
        self._ledger.update(pid for program in self._programs if (pid := program.pid) is not None)
