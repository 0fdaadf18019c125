"""Follows a training step by step: reports it, and stops it when asked to."""

import math
import time
from threading import Lock
from typing import Any

import torch
from accelerate.utils import broadcast  # type: ignore[import-untyped]
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from brightrun.contracts.reports import CheckpointReport, PlanReport, PointsReport
from brightrun.contracts.training import MetricPoint
from brightrun_trainer.checkpoints import PREFIX
from brightrun_trainer.failures import LOSS_NOT_FINITE, TrainingFailure
from brightrun_trainer.machine import Machine
from brightrun_trainer.preparation import Prepared
from brightrun_trainer.reporting import Reporter
from brightrun_trainer.stop import StopSignal

SECONDS_BETWEEN_BATCHES = 0.25


class Stopping(TrainerCallback):
    """Ends the training with a checkpoint at the end of the step in which it was asked to stop or to finish.

    All processes of a run end after the same step: that in which the first, which alone is asked, says so.
    """

    def __init__(self, stop: StopSignal | None) -> None:
        self._stop = stop

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        asked = self._stop is not None and (self._stop.requested or self._stop.finishing)
        if args.world_size > 1:
            asked = bool(broadcast(torch.tensor(int(asked), device=args.device)).item())
        if asked:
            control.should_training_stop = control.should_save = True
            control.should_evaluate = False
        return control


class KeepingBest(TrainerCallback):
    """Saves after each evaluation that is the best so far, whatever the cadence."""

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> TrainerControl:
        loss = (metrics or {}).get("eval_loss", math.inf)
        if loss < (math.inf if state.best_metric is None else state.best_metric):
            control.should_save = True
        return control


class Reporting(TrainerCallback):
    """Reports the plan, one metric point a step, and checkpoints with the time that saving took.

    A step's point waits until its evaluation is done, and for the next batch if the last one has just been sent.
    """

    def __init__(self, reporter: Reporter, prepared: Prepared) -> None:
        self._reporter = reporter
        self._examples = prepared.examples
        self._validation_examples = len(prepared.held_out or ())
        self._points: list[MetricPoint] = []
        self._taking = Lock()
        self._sent = 0.0
        self._machine = Machine()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._began = self._logged = self._before_save = time.monotonic()
        self._first_step, self._tokens = state.global_step, state.num_input_tokens_seen
        updates = math.ceil(len(kwargs["train_dataloader"]) / args.gradient_accumulation_steps)
        self._reporter.send(
            PlanReport(
                total_steps=state.max_steps,
                total_epochs=round(state.max_steps / updates, 4),
                examples=self._examples,
                validation_examples=self._validation_examples,
            )
        )

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if logs is None or "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise TrainingFailure(*LOSS_NOT_FINITE)
        point = self._measure(state, logs)
        with self._taking:
            self._points.append(point)
        self._before_save = time.monotonic()

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        measured = metrics or {}
        update = {
            "validation_loss": measured.get("eval_loss"),
            "validation_token_accuracy": measured.get("eval_mean_token_accuracy"),
        }
        with self._taking:
            if self._points and self._points[-1].step == state.global_step:
                self._points[-1] = self._points[-1].model_copy(update=update)
        self._before_save = time.monotonic()

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if time.monotonic() - self._sent >= SECONDS_BETWEEN_BATCHES:
            self.send_points(state)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.tell_saved(state, round(time.monotonic() - self._before_save, 3))

    def tell_saved(self, state: TrainerState, seconds: float) -> None:
        """Report the checkpoint of the last whole step, after the points that led to it."""
        self.send_points(state)
        step = state.global_step
        self._reporter.send(CheckpointReport(step=step, path=f"checkpoints/{PREFIX}{step}", seconds=seconds))

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.send_points(state)

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
            memory_mb=self._machine.memory_mb(),
            gpu_utilization=self._machine.gpu_utilization(),
        )

    def send_points(self, state: TrainerState) -> None:
        """Report what has been measured since the last time."""
        with self._taking:
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
