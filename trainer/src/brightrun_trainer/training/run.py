"""One training from start to end."""

import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from datasets.utils import disable_progress_bars
from peft import PeftModel
from transformers import TrainerState

from brightrun.contracts.reports import FinishedReport
from brightrun.contracts.run_folder import ADAPTER, CHECKPOINT_PREFIX, CHECKPOINT_STATE, CHECKPOINTS
from brightrun_trainer.data.preparation import CACHE, Prepared, load_prepared, prepare
from brightrun_trainer.data.split import Task, read_task
from brightrun_trainer.delivery import adapter
from brightrun_trainer.delivery.comparison import compare_held_out
from brightrun_trainer.model.oom_advice import oom_advice
from brightrun_trainer.process.failures import LOSS_NOT_FINITE, TrainingFailure
from brightrun_trainer.process.reporting import Reporter
from brightrun_trainer.process.stop import StopSignal, forced_stop
from brightrun_trainer.process.workers import workers
from brightrun_trainer.training.callbacks import Reporting, SaveBest, StopOnRequest
from brightrun_trainer.training.checkpoints import Checkpoint
from brightrun_trainer.training.trainers import make_trainer


@dataclass(frozen=True, slots=True)
class RunOptions:
    """`processes`: 0 for one on each visible GPU; `patience`: seconds that a stop waits for the current step."""

    checkpoint: Checkpoint | None
    processes: int
    patience: float


def train(run_dir: Path, task: Task, options: RunOptions, reporter: Reporter, stop: StopSignal) -> FinishedReport:
    """Train in `run_dir` and leave the adapter there. Raises TrainingFailure."""
    disable_progress_bars()
    prepared = prepare(run_dir, task, reporter)
    checkpoint = options.checkpoint
    if checkpoint is None:
        shutil.rmtree(run_dir / CHECKPOINTS, ignore_errors=True)
    trained = checkpoint is not None and (stop.finishing or checkpoint.step >= checkpoint.planned_steps)
    processes = 1 if trained else options.processes or max(1, torch.cuda.device_count())
    path = checkpoint.path if checkpoint else None
    with oom_advice(task.spec, prepared.base.model), workers(processes, run_dir, path, reporter):
        run = _Run(prepared, run_dir, processes, reporter, stop)
        stop.defer()
        if checkpoint and trained:
            run.load(checkpoint.path)
        else:
            reporter.stage("training", f"from step {checkpoint.step}" if checkpoint else "")
            run.train(path, options.patience)
    finished = run.deliver()
    shutil.rmtree(run_dir / CACHE, ignore_errors=True)
    return finished


def train_as_worker(run_dir: Path, checkpoint: Path | None) -> None:
    """Train as a further process, whose rank is in its environment. Raises TrainingFailure."""
    disable_progress_bars()
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    prepared = load_prepared(run_dir, read_task(run_dir))
    processes = int(os.environ["WORLD_SIZE"])
    trainer = make_trainer(prepared, run_dir, processes, [StopOnRequest(None), SaveBest()])
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)


class _Run:
    def __init__(self, prepared: Prepared, run_dir: Path, processes: int, reporter: Reporter, stop: StopSignal) -> None:
        self._prepared = prepared
        self._folder = run_dir / ADAPTER
        self._reporter = reporter
        self._stop = stop
        self._reporting = Reporting(reporter, prepared)
        callbacks = [self._reporting, StopOnRequest(stop), SaveBest()]
        self._trainer = make_trainer(prepared, run_dir, processes, callbacks)
        self._notes = [*prepared.notes]
        if note := self._trainer.warmup_note:
            self._notes.append(note)
            print(note, file=sys.stderr)

    @property
    def _model(self) -> PeftModel:
        return cast("PeftModel", self._trainer.model)

    def load(self, checkpoint: Path) -> None:
        """Take the checkpoint as the end of the training."""
        self._trainer.state = TrainerState.load_from_json(str(checkpoint / CHECKPOINT_STATE))
        self._trainer._load_from_checkpoint(str(checkpoint))

    def train(self, checkpoint: Path | None, patience: float) -> None:
        """Train to the end, or until a stop is requested."""
        with forced_stop(self._stop, patience, self._trainer.snapshot.lock, self._end_with_last_step):
            try:
                self._trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
            except Exception:
                self._reporting.report_points(self._trainer.state)  # the steps before the failure
                raise

    def deliver(self) -> FinishedReport:
        """Choose and evaluate the adapter and write its files. Raises TrainingFailure if it is not finite."""
        self._load_best()
        evaluation = compare_held_out(self._model, self._prepared, self._reporter, self._stop)
        self._reporter.stage("saving")
        state = self._trainer.state
        saved = self._save(evaluation, early=self._stop.finishing and state.global_step < state.max_steps)
        outcome: Literal["stopped", "completed"] = "stopped" if self._stop.requested else "completed"
        return FinishedReport(outcome=outcome, trained_tokens=state.num_input_tokens_seen, **saved)

    def _end_with_last_step(self) -> None:
        """Save and deliver the last whole step during the next one, and end the process."""
        began = time.monotonic()
        saved = {}
        if self._trainer.state.global_step:
            self._trainer.save_now()
            self._reporting.report_checkpoint(self._trainer.state, time.monotonic() - began)
            saved = self._save({}, early=True)
        tokens = self._trainer.snapshot.tokens
        self._reporter.send_last(FinishedReport(outcome="stopped", trained_tokens=tokens, **saved))

    def _load_best(self) -> None:
        """With early stopping, the adapter is that of the best evaluation. DPO's reference is removed."""
        state, spec = self._trainer.state, self._prepared.task.spec
        best = self._trainer.folder / f"{CHECKPOINT_PREFIX}{state.best_global_step}"
        if spec.early_stopping and state.best_global_step != state.global_step and best.is_dir():
            self._trainer._load_from_checkpoint(str(best))
        if "ref" in self._model.peft_config:
            self._model.delete_adapter("ref")
        if not all(bool(weight.isfinite().all()) for weight in self._model.parameters() if weight.requires_grad):
            raise TrainingFailure(*LOSS_NOT_FINITE)

    def _save(self, evaluation: dict[str, Any], early: bool) -> dict[str, Any]:
        """Write the adapter; returns the `files` and the `metadata` of the last report."""
        state, held_out = self._trainer.state, self._prepared.held_out
        counts = {
            "steps": state.global_step,
            "examples": self._prepared.examples,
            "validation_examples": len(held_out) if held_out else 0,
            "truncated_examples": self._prepared.truncated,
            "dropped_examples": self._prepared.dropped,
        }
        if state.best_global_step:
            counts["best_step"] = state.best_global_step
        facts = adapter.describe(self._prepared, counts, evaluation)
        if self._notes:
            facts["notes"] = self._notes
        if early:
            facts["stopped_early"] = True
        metadata = adapter.save(self._model, self._prepared, facts, self._folder)
        return {"files": tuple(sorted(path.name for path in self._folder.iterdir())), "metadata": metadata}
