"""The executor that trains nothing: believable reports at a chosen speed, for load tests. It says so itself."""

import asyncio
import json
import math
import random
from collections.abc import Iterator
from pathlib import Path

from brightrun.cluster.run_folder import RunFolder
from brightrun.contracts.reports import CheckpointReport, FinishedReport, PlanReport, PointsReport, Report, StageReport
from brightrun.contracts.training import MetricPoint, TrainingSpec

TOKENS_A_STEP = 2048
REPORTS_PER_SECOND = 10
STEPS_A_CHECKPOINT = 50
EMPTY_SAFETENSORS = b'\x30\0\0\0\0\0\0\0{"__metadata__":{"simulated":"true"}}           '


class SimulatedExecution:
    """A task of this process that writes what a trainer would."""

    def __init__(self, folder: RunFolder, steps_per_second: float, resume: bool) -> None:
        self._folder = folder
        self._speed = steps_per_second
        self._stopping = asyncio.Event()
        self._checkpoint = folder.checkpoints / "step.json"
        self._task = asyncio.create_task(self._train(resume))

    def alive(self) -> bool:
        """Whether it still reports."""
        return not self._task.done()

    def stop(self) -> None:
        """Save the step and stop."""
        self._stopping.set()

    def kill(self) -> None:
        """Stop without a word."""
        self._task.cancel()

    async def _train(self, resume: bool) -> None:
        spec = TrainingSpec.model_validate_json((self._folder.path / "spec.json").read_bytes())
        examples = self._folder.data.read_bytes().count(b"\n")
        plan = plan_of(spec, examples)
        self._say(StageReport(stage="loading"), StageReport(stage="tokenizing"), plan, StageReport(stage="training"))
        step = json.loads(self._checkpoint.read_text()) if resume and self._checkpoint.exists() else 0
        while step < plan.total_steps and not await self._told_to_stop():
            last = min(plan.total_steps, step + max(1, round(self._speed / REPORTS_PER_SECOND)))
            points = tuple(point_of(spec, plan, number) for number in range(step + 1, last + 1))
            eta = (plan.total_steps - last) / self._speed
            self._say(PointsReport(points=points, trained_tokens=last * TOKENS_A_STEP, eta_seconds=eta))
            if last // STEPS_A_CHECKPOINT > step // STEPS_A_CHECKPOINT and last < plan.total_steps:
                self._save(last)
            step = last
        self._finish(spec, step, completed=step == plan.total_steps)

    async def _told_to_stop(self) -> bool:
        try:
            await asyncio.wait_for(self._stopping.wait(), max(1 / REPORTS_PER_SECOND, 1 / self._speed))
        except TimeoutError:
            return False
        return True

    def _finish(self, spec: TrainingSpec, step: int, completed: bool) -> None:
        self._save(step)
        tokens = step * TOKENS_A_STEP
        if not completed:
            self._say(FinishedReport(outcome="stopped", trained_tokens=tokens))
            return
        self._say(StageReport(stage="saving"))
        files = tuple(write_adapter(self._folder.adapter, spec))
        metadata = {"simulated": True, "base_model": spec.base_model, "steps": step}
        self._say(FinishedReport(outcome="completed", trained_tokens=tokens, files=files, metadata=metadata))

    def _save(self, step: int) -> None:
        self._checkpoint.write_text(json.dumps(step))
        self._say(CheckpointReport(step=step, path="checkpoints/step.json"))

    def _say(self, *reports: Report) -> None:
        with self._folder.out.open("a") as out:
            out.writelines(f"{report.model_dump_json()}\n" for report in reports)


class SimulatedExecutor:
    """Runs simulations in this process; they end with it and are resumed by the next."""

    name = "simulated"
    simulated = True

    def __init__(self, steps_per_second: float) -> None:
        self._speed = steps_per_second
        self._executions: dict[Path, SimulatedExecution] = {}

    def base_models(self) -> None:
        """Any will do."""

    def start(self, folder: RunFolder, devices: tuple[int, ...], resume: bool) -> SimulatedExecution:
        """Start a simulation."""
        execution = SimulatedExecution(folder, self._speed, resume)
        self._executions = {path: known for path, known in self._executions.items() if known.alive()}
        self._executions[folder.path] = execution
        return execution

    def find(self, folder: RunFolder) -> SimulatedExecution | None:
        """The simulation under way in the folder."""
        execution = self._executions.get(folder.path)
        return execution if execution and execution.alive() else None


def plan_of(spec: TrainingSpec, examples: int) -> PlanReport:
    """As many steps as the trainer would take."""
    steps_an_epoch = max(1, math.ceil(examples / (spec.batch_size * spec.gradient_accumulation)))
    total = spec.max_steps or steps_an_epoch * (spec.epochs or 1)
    return PlanReport(total_steps=total, total_epochs=total / steps_an_epoch, examples=examples)


def point_of(spec: TrainingSpec, plan: PlanReport, step: int) -> MetricPoint:
    """A loss that falls exponentially to a floor, with noise; the same for the same seed and step."""
    done = step / plan.total_steps
    noise = random.Random(f"{spec.seed}/{step}").gauss(0, 0.05)  # noqa: S311
    return MetricPoint(
        step=step,
        epoch=plan.total_epochs * done,
        training_loss=round(0.9 + 2.4 * math.exp(-4 * done) + noise, 4),
        learning_rate=spec.learning_rate * (1 - done),
        gradient_norm=round(0.5 + math.exp(-2 * done) + abs(noise), 4),
    )


def write_adapter(folder: Path, spec: TrainingSpec) -> Iterator[str]:
    """The names of an adapter's two files, which are written as empty as they can be."""
    config = {"peft_type": "LORA", "r": spec.rank, "base_model_name_or_path": spec.base_model, "simulated": True}
    for name, content in (
        ("adapter_config.json", json.dumps(config).encode()),
        ("adapter_model.safetensors", EMPTY_SAFETENSORS),
    ):
        (folder / name).write_bytes(content)
        yield name
