"""The executor that trains nothing: simulations for load tests, marked as such wherever their results show."""

import asyncio
import itertools
import json
import math
import os
import shutil
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from heapq import heappop, heappush
from pathlib import Path
from typing import Literal, Self

import structlog

from brightrun.cluster.executors.executor import Execution
from brightrun.cluster.files.checkpoints import complete_checkpoints
from brightrun.cluster.files.run_folder import RunFolder
from brightrun.cluster.models import Hardware, Run
from brightrun.contracts.reports import CheckpointReport, FinishedReport, PlanReport, PointsReport, Report, StageReport
from brightrun.contracts.run_folder import CHECKPOINT_PREFIX, CHECKPOINT_STATE, MAX_STEPS_BETWEEN_CHECKPOINTS
from brightrun.contracts.training import MetricPoint, TrainingSpec

log = structlog.get_logger()

TOKENS_PER_STEP = 2048
MAX_REPORTS_PER_SECOND = 10
MAX_REPORTS_PER_SECOND_PER_CORE = 250
"""Of all simulations: about what the services can process where they share the machine."""

EMPTY_SAFETENSORS = b'\x30\0\0\0\0\0\0\0{"__metadata__":{"simulated":"true"}}           '


@dataclass(frozen=True, slots=True)
class Pace:
    """A report each so many `seconds`, on so many `steps`: more of them when thousands share the clock."""

    seconds: float
    steps: int

    @classmethod
    def of(cls, steps_per_second: float, simulations: int) -> Self:
        """At most ten reports a second of one simulation, and as many of all as the machine's cores allow."""
        most = MAX_REPORTS_PER_SECOND_PER_CORE * (os.cpu_count() or 1)
        seconds = max(1 / MAX_REPORTS_PER_SECOND, simulations / most)
        steps = max(1, round(steps_per_second * seconds))
        return cls(steps / steps_per_second, steps)


class SimulatedExecution(Execution):
    """What a trainer would report, step by step, whenever the executor's clock advances it."""

    poll_seconds = None

    def __init__(self, folder: RunFolder, pace: Pace, offset: int, resume: bool) -> None:
        super().__init__()
        self.folder = folder
        self._pace = pace
        self._offset = offset
        self._reports: list[Report] = []  # after the first `_offset` reports
        self._requested: Literal["finish", "stop"] | None = None
        self._training = self._train(resume)
        self.working = True
        self.due = time.monotonic()

    async def is_alive(self) -> bool:
        return self.working

    async def finish(self) -> None:
        self._requested = "finish"
        self.advance()

    async def stop(self) -> None:
        self._requested = "stop"
        self.advance()

    async def kill(self) -> None:
        self.working = False
        self.wake()

    def advance(self, pace: Pace | None = None) -> None:
        """Report what is due, and be due again one report later. On a full disk it dies, as a trainer would."""
        if self.working:
            self._pace = pace or self._pace
            try:
                self.working = next(self._training, None) is not None
            except OSError as error:
                log.warning("simulation.died", folder=str(self.folder.path), error=repr(error))
                self.working = False
            self.due += self._pace.seconds
            self.wake()

    def reports_after(self, offset: int) -> tuple[list[Report], int]:
        """The reports after the first `offset` of the run, and the offset behind them; earlier ones are dropped."""
        del self._reports[: offset - self._offset]
        self._offset = offset
        return list(self._reports), offset + len(self._reports)

    def _train(self, resume: bool) -> Iterator[bool]:
        spec = TrainingSpec.model_validate_json(self.folder.spec.read_bytes())
        plan = plan_of(spec, self.folder.dataset.read_bytes().count(b"\n"))
        self._report(StageReport(stage="loading"), StageReport(stage="tokenizing"), plan, StageReport(stage="training"))
        saved = complete_checkpoints(self.folder.checkpoints) if resume else []
        step, every = saved[-1].step if saved else 0, spec.save_steps or MAX_STEPS_BETWEEN_CHECKPOINTS
        while step < plan.total_steps:
            yield True
            if self._requested:
                break
            last = min(plan.total_steps, step + self._pace.steps)
            points = tuple(point_of(spec, plan, number) for number in range(step + 1, last + 1))
            eta = (plan.total_steps - last) * self._pace.seconds / self._pace.steps
            self._report(PointsReport(points=points, trained_tokens=last * TOKENS_PER_STEP, eta_seconds=eta))
            if last // every > step // every and last < plan.total_steps:
                self._save(spec, last)
            step = last
        self._end(spec, step, early=step < plan.total_steps)

    def _end(self, spec: TrainingSpec, step: int, early: bool) -> None:
        self._save(spec, step)
        tokens = step * TOKENS_PER_STEP
        if early and self._requested == "stop":
            self._report(FinishedReport(outcome="stopped", trained_tokens=tokens))
            return
        self._report(StageReport(stage="saving"))
        files = write_adapter(self.folder.adapter, spec)
        metadata = {"simulated": True, "base_model": spec.base_model, "steps": step}
        if early:
            metadata["stopped_early"] = True
        self._report(FinishedReport(outcome="completed", trained_tokens=tokens, files=files, metadata=metadata))

    def _save(self, spec: TrainingSpec, step: int) -> None:
        before = complete_checkpoints(self.folder.checkpoints)
        folder = self.folder.checkpoints / f"{CHECKPOINT_PREFIX}{step}"
        folder.mkdir(exist_ok=True)
        write_adapter(folder, spec)
        (folder / CHECKPOINT_STATE).write_text(json.dumps({"global_step": step, "simulated": True}))
        self._report(CheckpointReport(step=step, path=f"checkpoints/{folder.name}", seconds=0.0))
        for checkpoint in before:
            if checkpoint.step != step:
                shutil.rmtree(checkpoint.path, ignore_errors=True)

    def _report(self, *reports: Report) -> None:
        self._reports += reports


def plan_of(spec: TrainingSpec, examples: int) -> PlanReport:
    steps_per_epoch = max(1, math.ceil(examples / (spec.batch_size * spec.gradient_accumulation)))
    total = spec.max_steps or steps_per_epoch * (spec.epochs or 1)
    return PlanReport(total_steps=total, total_epochs=total / steps_per_epoch, examples=examples)


def point_of(spec: TrainingSpec, plan: PlanReport, step: int) -> MetricPoint:
    """A loss that falls exponentially to a floor, with noise; the same for the same seed and step."""
    done = step / plan.total_steps
    noise = (zlib.crc32(f"{spec.seed}/{step}".encode()) / 2**32 - 0.5) / 5
    return MetricPoint(
        step=step,
        epoch=plan.total_epochs * done,
        training_loss=round(0.9 + 2.4 * math.exp(-4 * done) + noise, 4),
        learning_rate=spec.learning_rate * (1 - done),
        gradient_norm=round(0.5 + math.exp(-2 * done) + abs(noise), 4),
    )


def write_adapter(folder: Path, spec: TrainingSpec) -> tuple[str, ...]:
    """Write an adapter without weights; returns the names of its files."""
    config = {"peft_type": "LORA", "r": spec.rank, "base_model_name_or_path": spec.base_model, "simulated": True}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    (folder / "adapter_model.safetensors").write_bytes(EMPTY_SAFETENSORS)
    return "adapter_config.json", "adapter_model.safetensors"


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
        self.max_gpus: Mapping[str, int] = {gpu_type: slots}
        self._hardware = Hardware(self.max_gpus, base_models=None, simulated=True, max_gpus=self.max_gpus)
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
