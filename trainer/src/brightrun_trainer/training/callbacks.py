"""Callbacks of the training: stop on request, save the best evaluation, report each step."""

import math
import random
import time
from threading import Lock, RLock
from typing import Any

import numpy
import torch
from accelerate.utils import broadcast  # type: ignore[import-untyped]
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from brightrun.contracts.reports import CheckpointReport, PlanReport, PointsReport
from brightrun.contracts.run_folder import CHECKPOINT_PREFIX, CHECKPOINTS
from brightrun.contracts.training import MetricPoint
from brightrun_trainer.data.preparation import Prepared
from brightrun_trainer.process.failures import LOSS_NOT_FINITE, TrainingFailure
from brightrun_trainer.process.reporting import Reporter
from brightrun_trainer.process.resources import ResourceUsage
from brightrun_trainer.process.stop import StopSignal

SECONDS_BETWEEN_BATCHES = 0.25


class StopOnRequest(TrainerCallback):
    """Ends the training with a checkpoint after the step in which a stop or a finish was requested.

    Only the first process of a run has a StopSignal; it broadcasts the request, so that all end after the same step.
    """

    def __init__(self, stop: StopSignal | None) -> None:
        self._stop = stop

    def on_step_end(self, args: TrainingArguments, state: Any, control: TrainerControl, **kwargs: Any) -> None:
        requested = self._stop is not None and (self._stop.requested or self._stop.finishing)
        if args.world_size > 1:
            requested = bool(broadcast(torch.tensor(int(requested), device=args.device)).item())
        if requested:
            control.should_training_stop = control.should_save = True
            control.should_evaluate = False


class SaveBest(TrainerCallback):
    """Saves after each evaluation that is the best so far, in addition to every `save_steps`."""

    def on_evaluate(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        loss = kwargs["metrics"].get("eval_loss", math.inf)
        if loss < (math.inf if state.best_metric is None else state.best_metric):
            control.should_save = True


class Reporting(TrainerCallback):
    """Reports the plan, one metric point a step, and checkpoints with the time that saving took.

    A step's point waits for the step's evaluation, and for the next batch if the last one has just been sent.
    """

    def __init__(self, reporter: Reporter, prepared: Prepared) -> None:
        self._reporter = reporter
        self._prepared = prepared
        self._points: list[MetricPoint] = []
        self._points_lock = Lock()
        self._sent = 0.0
        self._resources = ResourceUsage(torch.cuda.device_count() if torch.cuda.is_available() else 0)

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: Any, **kwargs: Any) -> None:
        self._began = self._logged = self._save_began = time.monotonic()
        self._first_step, self._tokens = state.global_step, state.num_input_tokens_seen
        updates = math.ceil(len(kwargs["train_dataloader"]) / args.gradient_accumulation_steps)
        self._reporter.send(
            PlanReport(
                total_steps=state.max_steps,
                total_epochs=round(state.max_steps / updates, 4),
                examples=self._prepared.examples,
                validation_examples=len(self._prepared.held_out or ()),
            )
        )

    def on_log(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        logs = kwargs["logs"]
        if "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise TrainingFailure(*LOSS_NOT_FINITE)
        point = self._measure(state, logs)
        with self._points_lock:
            self._points.append(point)
        self._save_began = time.monotonic()

    def on_evaluate(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        metrics = kwargs["metrics"]
        update = {
            "validation_loss": metrics.get("eval_loss"),
            "validation_token_accuracy": metrics.get("eval_mean_token_accuracy"),
        }
        with self._points_lock:
            if self._points and self._points[-1].step == state.global_step:
                self._points[-1] = self._points[-1].model_copy(update=update)
        self._save_began = time.monotonic()

    def on_step_begin(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        if time.monotonic() - self._sent >= SECONDS_BETWEEN_BATCHES:
            self.report_points(state)

    def on_save(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        self.report_checkpoint(state, time.monotonic() - self._save_began)

    def on_train_end(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        self.report_points(state)

    def report_checkpoint(self, state: TrainerState, seconds: float) -> None:
        """Report the checkpoint of the last whole step, after the points that led to it."""
        self.report_points(state)
        step = state.global_step
        path = f"{CHECKPOINTS}/{CHECKPOINT_PREFIX}{step}"
        self._reporter.send(CheckpointReport(step=step, path=path, seconds=round(seconds, 3)))

    def _measure(self, state: TrainerState, logs: dict[str, float]) -> MetricPoint:
        now = time.monotonic()
        rate = (state.num_input_tokens_seen - self._tokens) / (now - self._logged)
        self._logged, self._tokens = now, state.num_input_tokens_seen
        return MetricPoint(
            step=state.global_step,
            epoch=round(logs["epoch"], 4),
            training_loss=logs["loss"],
            learning_rate=logs.get("learning_rate"),
            gradient_norm=logs.get("grad_norm"),
            token_accuracy=logs.get("mean_token_accuracy"),
            tokens_per_second=round(rate, 1),
            memory_mb=self._resources.memory_mb(),
            gpu_utilization=self._resources.gpu_utilization(),
        )

    def report_points(self, state: TrainerState) -> None:
        """Report the points that wait."""
        with self._points_lock:
            points, self._points = tuple(self._points), []
        if not points:
            return
        self._sent = time.monotonic()
        seconds_a_step = (self._sent - self._began) / max(1, state.global_step - self._first_step)
        self._reporter.send(
            PointsReport(
                points=points,
                trained_tokens=state.num_input_tokens_seen,
                eta_seconds=round(seconds_a_step * (state.max_steps - state.global_step), 1),
            )
        )


class StepSnapshot(TrainerCallback):
    """Keeps the random states and the token count of the last whole step; with `lock` held, nothing else changes.

    The trainer holds the lock from the optimizer's step until the step is logged, and while it writes a checkpoint.
    This must be the last callback.
    """

    def __init__(self) -> None:
        self.lock = RLock()  # re-entrant: cleaning up after a failed step may find it held
        self.tokens = 0
        self.random_states: dict[str, Any] = {}
        self._in_optimizer_step = False

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._take(state)

    def on_pre_optimizer_step(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.lock.acquire()
        self._in_optimizer_step = True

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self._in_optimizer_step:
            self._in_optimizer_step = False
            self._take(state)
            self.lock.release()

    def _take(self, state: TrainerState) -> None:
        self.tokens = state.num_input_tokens_seen
        # The names are those that Transformers loads.
        self.random_states = {
            "python": random.getstate(),
            "numpy": numpy.random.get_state(),
            "cpu": torch.random.get_rng_state(),
        }
        if torch.cuda.is_available():
            distributed = torch.distributed.is_initialized()
            get = torch.cuda.random.get_rng_state_all if distributed else torch.cuda.random.get_rng_state
            self.random_states["cuda"] = get()
