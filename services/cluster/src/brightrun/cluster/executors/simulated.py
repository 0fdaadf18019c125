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
        self._schedule: list[tuple[float, int, SimulatedExecution]] = []  # a heap
        self._entries = itertools.count()
        self._clock: asyncio.Task[None] | None = None

    async def hardware(self) -> Hardware:
        return self._hardware

    async def start(self, run: Run, folder: RunFolder, resume: bool) -> SimulatedExecution:
        execution = SimulatedExecution(folder, self._pace(), run.offset, resume)
        self._executions[folder.path] = execution
        self._plan(execution)
        if self._clock is None or self._clock.done():
            self._clock = asyncio.create_task(self._tick())
        return execution

    async def find(self, run: Run, folder: RunFolder) -> SimulatedExecution | None:
        execution = self._executions.get(folder.path)
        return execution if execution and execution.working else None

    async def list_executions(self) -> list[tuple[str, Execution]]:
        return [(path.name, execution) for path, execution in self._executions.items() if execution.working]

    async def read_reports(self, folder: RunFolder, offset: int) -> tuple[list[Report], int]:
        """The reports of the folder's last simulation; the offset counts reports."""
        execution = self._executions.get(folder.path)
        return execution.reports_after(offset) if execution else ([], offset)

    def _pace(self) -> Pace:
        return Pace.of(self._steps_per_second, len(self._executions))

    async def _tick(self) -> None:
        while self._schedule:
            now, pace, due = time.monotonic(), self._pace(), []
            while self._schedule and self._schedule[0][0] <= now:
                due.append(heappop(self._schedule)[2])
            for execution in due:
                if execution.due <= now:
                    execution.advance(pace)
                self._plan(execution)
            await asyncio.sleep(TICK_SECONDS)

    def _plan(self, execution: SimulatedExecution) -> None:
        if execution.working:
            heappush(self._schedule, (execution.due, next(self._entries), execution))
        else:
            asyncio.get_running_loop().call_later(KEEP_ENDED_SECONDS, self._drop, execution)

    def _drop(self, execution: SimulatedExecution) -> None:
        if self._executions.get(execution.folder.path) is execution:
            del self._executions[execution.folder.path]
