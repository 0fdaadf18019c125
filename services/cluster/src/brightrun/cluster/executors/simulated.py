"""The executor that trains nothing: simulations for load tests, marked as such wherever their results show."""

import asyncio
import itertools
import time
from heapq import heappop, heappush
from pathlib import Path

from brightrun.cluster.executors.executor import Execution
from brightrun.cluster.executors.simulation import Pace, SimulatedExecution
from brightrun.cluster.files.run_folder import RunFolder
from brightrun.cluster.models import Hardware, Run
from brightrun.contracts.reports import Report

TICK_SECONDS = 0.05
KEEP_ENDED_SECONDS = 60.0


class SimulatedExecutor:
    """Runs simulations in this process; they end with it and are resumed by the next.

    They share one clock, as thousands of timers would cost more than the simulations. Their reports are stored as
    events only.
    """

    name = "simulated"
    simulated = True
    queues = False
    outlasts = False

    def __init__(self, gpu_type: str, slots: int, steps_per_second: float) -> None:
        self.gpu_types: tuple[str, ...] = (gpu_type,)
        self._hardware = Hardware({gpu_type: slots}, base_models=None, simulated=True)
        self._steps_per_second = steps_per_second
        self._executions: dict[Path, SimulatedExecution] = {}
        self._schedule: list[tuple[float, int, Path]] = []  # a heap: when to look at which
        self._entries = itertools.count()
        self._clock: asyncio.Task[None] | None = None

    async def hardware(self) -> Hardware:
        """What the settings say, with any base model."""
        return self._hardware

    async def start(self, run: Run, folder: RunFolder, resume: bool) -> SimulatedExecution:
        execution = SimulatedExecution(folder, self._pace(), run.offset, resume)
        self._executions[folder.path] = execution
        self._schedule_look(folder.path, execution.due)
        if self._clock is None or self._clock.done():
            self._clock = asyncio.create_task(self._tick())
        return execution

    async def find(self, run: Run, folder: RunFolder) -> SimulatedExecution | None:
        """The simulation at work in the folder."""
        execution = self._executions.get(folder.path)
        return execution if execution and execution.working else None

    async def list_executions(self) -> list[tuple[str, Execution]]:
        return [(path.name, execution) for path, execution in self._executions.items() if execution.working]

    async def read_reports(self, folder: RunFolder, offset: int) -> tuple[list[Report], int]:
        """The reports of the folder's last simulation; the offset counts reports."""
        execution = self._executions.get(folder.path)
        if execution is None:
            return [], offset
        return execution.reports_after(offset)

    def _pace(self) -> Pace:
        return Pace.of(self._steps_per_second, len(self._executions))

    async def _tick(self) -> None:
        while self._schedule:
            now, pace, due = time.monotonic(), self._pace(), []
            while self._schedule and self._schedule[0][0] <= now:
                due.append(heappop(self._schedule)[2])
            for path in due:
                self._advance(path, now, pace)
            await asyncio.sleep(TICK_SECONDS)

    def _advance(self, path: Path, now: float, pace: Pace) -> None:
        execution = self._executions.get(path)
        if execution is None:
            return
        if execution.working and execution.due <= now:
            execution.advance(pace)
        if execution.working:
            self._schedule_look(path, execution.due)
        elif now < execution.due + KEEP_ENDED_SECONDS:
            self._schedule_look(path, execution.due + KEEP_ENDED_SECONDS)
        else:
            del self._executions[path]

    def _schedule_look(self, path: Path, when: float) -> None:
        heappush(self._schedule, (when, next(self._entries), path))
