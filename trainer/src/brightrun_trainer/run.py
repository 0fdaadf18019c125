"""One training from start to end."""

import os
import shutil
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from datasets.utils import disable_progress_bars
from peft import PeftModel
from transformers import TrainerState
from transformers.trainer import TRAINER_STATE_NAME

from brightrun.contracts.reports import FailedReport, FinishedReport
from brightrun.contracts.training import JobError
from brightrun_trainer import adapter
from brightrun_trainer.arguments import Hardware
from brightrun_trainer.callbacks import KeepingBest, Reporting, Stopping
from brightrun_trainer.checkpoints import PREFIX, Checkpoint
from brightrun_trainer.comparison import evaluate
from brightrun_trainer.failures import LOSS_NOT_FINITE, TrainingFailure
from brightrun_trainer.model import precision
from brightrun_trainer.preparation import Prepared, encoding_cache, join, prepare
from brightrun_trainer.processes import together
from brightrun_trainer.reporting import Reporter
from brightrun_trainer.rescue import Rescue
from brightrun_trainer.shortage import advised
from brightrun_trainer.stop import StopSignal
from brightrun_trainer.task import Task, read_task
from brightrun_trainer.trainers import ConversationTrainer, PreferenceTrainer, make_trainer


@dataclass(frozen=True, slots=True)
class Course:
    """How a run is to go: from `checkpoint` if given, on so many processes (0: one for each GPU that is seen).

    A step that a stop would have to wait for is given up after `patience` seconds.
    """

    checkpoint: Checkpoint | None = None
    processes: int = 0
    patience: float = 1.0


def train(run_dir: Path, task: Task, course: Course, reporter: Reporter, stop: StopSignal) -> FinishedReport:
    """Do the task in `run_dir` and leave the adapter there. Raises TrainingFailure."""
    disable_progress_bars()
    prepared = prepare(run_dir, task, reporter)
    checkpoint = course.checkpoint
    if checkpoint is None:
        shutil.rmtree(run_dir / "checkpoints", ignore_errors=True)
    over = checkpoint is not None and (stop.finishing or checkpoint.step >= checkpoint.planned_steps)
    hardware = Hardware(precision(), 1 if over else course.processes or max(1, torch.cuda.device_count()))
    start = checkpoint.path if checkpoint else None
    with (
        advised(task.spec, prepared.base.model),
        together(hardware.processes, run_dir, start, partial(_fail, reporter)),
    ):
        reporting = Reporting(reporter, prepared)
        trainer = make_trainer(prepared, run_dir, hardware, [reporting, Stopping(stop), KeepingBest()])
        stop.defer()
        end = partial(_end_now, trainer, prepared, reporting, reporter, run_dir)
        if checkpoint and over:
            trainer.state = TrainerState.load_from_json(str(checkpoint.path / TRAINER_STATE_NAME))
            trainer._load_from_checkpoint(str(checkpoint.path))
        else:
            reporter.stage("training", f"from step {checkpoint.step}" if checkpoint else "")
            with Rescue(stop, course.patience, trainer.boundary.lock, end):
                trainer.train(resume_from_checkpoint=str(start) if start else None)
    _take_best(trainer, prepared)
    measured = evaluate(cast("PeftModel", trainer.model), prepared, reporter, stop)
    reporter.stage("saving")
    finished = _deliver(trainer, prepared, measured, run_dir / "adapter", stop)
    shutil.rmtree(encoding_cache(run_dir), ignore_errors=True)
    return finished


def train_along(run_dir: Path, checkpoint: Path | None) -> None:
    """Take part in the training as a further process, whose place its environment tells. Raises TrainingFailure."""
    disable_progress_bars()
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    prepared = join(run_dir, read_task(run_dir))
    hardware = Hardware(precision(), int(os.environ["WORLD_SIZE"]))
    trainer = make_trainer(prepared, run_dir, hardware, [Stopping(None), KeepingBest()])
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)


def _fail(reporter: Reporter, error: JobError) -> None:
    reporter.send_last(FailedReport(error=error), exit_code=1)


def _end_now(
    trainer: ConversationTrainer | PreferenceTrainer,
    prepared: Prepared,
    reporting: Reporting,
    reporter: Reporter,
    run_dir: Path,
) -> None:
    """Save and deliver the last whole step while the next one still runs, and end the process."""
    began = time.monotonic()
    files: tuple[str, ...] = ()
    facts: dict[str, Any] = {}
    if trainer.state.global_step:
        trainer.save_now()
        reporting.tell_saved(trainer.state, round(time.monotonic() - began, 3))
        facts = adapter.describe(prepared, _counts(trainer, prepared), {}) | {"stopped_early": True}
        facts = adapter.save(cast("PeftModel", trainer.model), prepared, facts, run_dir / "adapter")
        files = _files(run_dir / "adapter")
    tokens = trainer.boundary.tokens
    reporter.send_last(FinishedReport(outcome="stopped", trained_tokens=tokens, files=files, metadata=facts))


def _take_best(trainer: ConversationTrainer | PreferenceTrainer, prepared: Prepared) -> None:
    """With early stopping the adapter is that of the best evaluation; and what DPO measured against is let go."""
    state, spec = trainer.state, prepared.task.spec
    best = trainer.folder / f"{PREFIX}{state.best_global_step}"
    if spec.early_stopping and state.best_global_step != state.global_step and best.is_dir():
        trainer._load_from_checkpoint(str(best))
    model = cast("PeftModel", trainer.model)
    if "ref" in model.peft_config:
        model.delete_adapter("ref")
    if not all(bool(parameter.isfinite().all()) for parameter in model.parameters() if parameter.requires_grad):
        raise TrainingFailure(*LOSS_NOT_FINITE)


def _deliver(
    trainer: ConversationTrainer | PreferenceTrainer,
    prepared: Prepared,
    measured: dict[str, Any],
    folder: Path,
    stop: StopSignal,
) -> FinishedReport:
    facts = adapter.describe(prepared, _counts(trainer, prepared), measured)
    if stop.finishing and trainer.state.global_step < trainer.state.max_steps:
        facts["stopped_early"] = True
    facts = adapter.save(cast("PeftModel", trainer.model), prepared, facts, folder)
    return FinishedReport(
        outcome="stopped" if stop.requested else "completed",
        trained_tokens=trainer.state.num_input_tokens_seen,
        files=_files(folder),
        metadata=facts,
    )


def _counts(trainer: ConversationTrainer | PreferenceTrainer, prepared: Prepared) -> dict[str, int]:
    state, encoder, held_out = trainer.state, prepared.encoder, prepared.held_out
    best = {"best_step": state.best_global_step} if state.best_global_step else {}
    return {
        "steps": state.global_step,
        "examples": prepared.examples,
        "validation_examples": len(held_out) if held_out else 0,
        "truncated_examples": encoder.truncated,
        "dropped_examples": encoder.dropped,
        **best,
    }


def _files(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.name for path in folder.iterdir()))
