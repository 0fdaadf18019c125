"""The executor that trains nothing: simulations for load tests. It says so itself."""

import asyncio
import itertools
import time
from heapq import heappop, heappush
from pathlib import Path

from brightrun.cluster.executor import Execution
from brightrun.cluster.models import Hardware, Run
from brightrun.cluster.run_folder import RunFolder
from brightrun.cluster.simulation import Pace, SimulatedExecution
from brightrun.contracts.reports import Report

TICK_SECONDS = 0.05
FORGOTTEN_AFTER_SECONDS = 60.0


class SimulatedExecutor:
    """Runs simulations in this process; they end with it and are resumed by the next.

    One clock for all of them, as thousands of timers would cost more than the simulations. What they say is never
    written down but as events.
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
        self._agenda: list[tuple[float, int, Path]] = []  # a heap: when to look at which
        self._entries = itertools.count()
        self._clock: asyncio.Task[None] | None = None

    async def hardware(self) -> Hardware:
        """As much as the settings say; any base model will do."""
        return self._hardware

    async def start(self, run: Run, folder: RunFolder, resume: bool) -> SimulatedExecution:
        """Start a simulation."""
        execution = SimulatedExecution(folder, self._pace(), run.offset, resume)
        self._executions[folder.path] = execution
        self._look_at(folder.path, execution.due)
        if self._clock is None or self._clock.done():
            self._clock = asyncio.create_task(self._tick())
        return execution

    async def find(self, run: Run, folder: RunFolder) -> SimulatedExecution | None:
        """The simulation under way in the folder."""
        execution = self._executions.get(folder.path)
        return execution if execution and execution.working else None

    async def at_work(self) -> list[tuple[str, Execution]]:
        """The simulations under way."""
        return [(path.name, execution) for path, execution in self._executions.items() if execution.working]

    async def hear(self, folder: RunFolder, offset: int) -> tuple[list[Report], int]:
        """What the folder's last simulation said; the offset counts reports."""
        execution = self._executions.get(folder.path)
        if execution is None:
            return [], offset
        return execution.heard(offset)

    def _pace(self) -> Pace:
        return Pace.of(self._steps_per_second, len(self._executions))

    async def _tick(self) -> None:
        while self._agenda:
            now, pace, due = time.monotonic(), self._pace(), []
            while self._agenda and self._agenda[0][0] <= now:
                due.append(heappop(self._agenda)[2])
            for path in due:
                self._attend(path, now, pace)
            await asyncio.sleep(TICK_SECONDS)

    def _attend(self, path: Path, now: float, pace: Pace) -> None:
        execution = self._executions.get(path)
        if execution is None:
            return
        if execution.working and execution.due <= now:
            execution.go_on(pace)
        if execution.working:
            self._look_at(path, execution.due)
        elif now < execution.due + FORGOTTEN_AFTER_SECONDS:
            self._look_at(path, execution.due + FORGOTTEN_AFTER_SECONDS)
        else:
            del self._executions[path]

    def _look_at(self, path: Path, when: float) -> None:
        heappush(self._agenda, (when, next(self._entries), path))
