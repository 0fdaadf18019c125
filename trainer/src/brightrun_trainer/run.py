"""One training from start to end."""

import shutil
import time
from pathlib import Path
from typing import Any, cast

import torch
from datasets.utils import disable_progress_bars
from peft import PeftModel
from transformers import EarlyStoppingCallback, TrainerCallback, TrainerState
from transformers.trainer import TRAINER_STATE_NAME
from trl.trainer.sft_trainer import SFTTrainer

from brightrun.contracts.reports import FinishedReport
from brightrun_trainer import adapter
from brightrun_trainer.arguments import training_arguments
from brightrun_trainer.callbacks import Reporting, Stopping
from brightrun_trainer.checkpoints import PREFIX, Checkpoint
from brightrun_trainer.evaluation import mean_loss
from brightrun_trainer.failures import TrainingFailure
from brightrun_trainer.model import lora_config
from brightrun_trainer.preparation import Prepared, encoding_cache, prepare
from brightrun_trainer.reporting import Reporter
from brightrun_trainer.stop import StopRequested, StopSignal
from brightrun_trainer.task import Task

FINISH_SECONDS = 30.0


def train(
    run_dir: Path, task: Task, checkpoint: Checkpoint | None, reporter: Reporter, stop: StopSignal
) -> FinishedReport:
    """Do the task in `run_dir`, from `checkpoint` if given, and leave the adapter there. Raises TrainingFailure."""
    disable_progress_bars()
    _refuse_several_gpus()
    prepared = prepare(run_dir, task, reporter)
    if checkpoint is None:
        shutil.rmtree(run_dir / "checkpoints", ignore_errors=True)
    trainer = _make_trainer(prepared, run_dir / "checkpoints", [Reporting(reporter, prepared), Stopping(stop)])
    stop.defer()
    if checkpoint and (stop.finishing or checkpoint.step >= checkpoint.planned_steps):
        _restore(trainer, checkpoint)
    else:
        reporter.stage("training", f"from step {checkpoint.step}" if checkpoint else "")
        trainer.train(resume_from_checkpoint=str(checkpoint.path) if checkpoint else None)
    comparison = _compare(trainer, prepared, reporter, stop)
    reporter.stage("saving")
    finished = _deliver(trainer, prepared, comparison, run_dir / "adapter", stop)
    shutil.rmtree(encoding_cache(run_dir), ignore_errors=True)
    return finished


def _refuse_several_gpus() -> None:
    if torch.cuda.device_count() > 1:
        raise TrainingFailure(
            "several_gpus_unsupported",
            f"This trainer uses one GPU and sees {torch.cuda.device_count()}.",
            "Ask for one GPU; the operator can show each run only its own with CUDA_VISIBLE_DEVICES.",
        )


def _make_trainer(prepared: Prepared, folder: Path, callbacks: list[TrainerCallback]) -> SFTTrainer:
    spec = prepared.task.spec
    evaluates = prepared.held_out is not None
    if early := spec.early_stopping:
        callbacks.append(EarlyStoppingCallback(early.patience, early.min_delta))
    try:
        return SFTTrainer(
            model=prepared.base.model,
            args=training_arguments(spec, folder, len(prepared.rows), evaluates, prepared.encoder.limit),
            train_dataset=prepared.rows,
            eval_dataset=prepared.held_out,
            processing_class=prepared.base.tokenizer,
            callbacks=callbacks,
            peft_config=lora_config(spec),
        )
    except ValueError as error:
        if "target modules" not in str(error).lower():
            raise
        raise TrainingFailure(
            "target_modules_unknown",
            f"{spec.base_model} has none of the modules {', '.join(spec.target_modules)}.",
            "Name modules of this model, or use all-linear.",
        ) from error


def _restore(trainer: SFTTrainer, checkpoint: Checkpoint) -> None:
    """Take the adapter that a training would end with which has no step left to do."""
    best = checkpoint.path.with_name(f"{PREFIX}{checkpoint.best_step}")
    chosen = best if trainer.args.load_best_model_at_end and best.is_dir() else checkpoint.path
    trainer._load_from_checkpoint(str(chosen))
    trainer.state = TrainerState.load_from_json(str(checkpoint.path / TRAINER_STATE_NAME))


def _compare(trainer: SFTTrainer, prepared: Prepared, reporter: Reporter, stop: StopSignal) -> dict[str, Any] | None:
    """Held-out loss of the base model and of the adapter.

    None if nothing is held out, if the run shall stop, or if it shall finish and this takes too long.
    """
    rows = prepared.held_out
    if rows is None or stop.requested:
        return None
    began = time.monotonic()

    def check() -> None:
        stop.check()
        if stop.finishing and time.monotonic() - began > FINISH_SECONDS:
            raise StopRequested

    reporter.stage("evaluating", f"base model against adapter on {len(rows):,} held-out examples")
    model, pad = cast("PeftModel", trainer.model), prepared.base.tokenizer.pad_token_id
    try:
        adapter_loss = mean_loss(model, rows, pad, check)
        with model.disable_adapter():
            base_loss = mean_loss(model, rows, pad, check)
    except StopRequested:
        return None
    return {"base_loss": base_loss, "adapter_loss": adapter_loss, "examples": len(rows)}


def _deliver(
    trainer: SFTTrainer, prepared: Prepared, comparison: dict[str, Any] | None, folder: Path, stop: StopSignal
) -> FinishedReport:
    encoder, held_out = prepared.encoder, prepared.held_out
    counts = {
        "steps": trainer.state.global_step,
        "examples": len(prepared.rows),
        "validation_examples": len(held_out) if held_out else 0,
        "truncated_examples": encoder.truncated,
        "dropped_examples": encoder.dropped,
    }
    facts = adapter.describe(prepared, counts, comparison)
    if stop.finishing and trainer.state.global_step < trainer.state.max_steps:
        facts["stopped_early"] = True
    adapter.save(cast("PeftModel", trainer.model), prepared, facts, folder)
    return FinishedReport(
        outcome="stopped" if stop.requested else "completed",
        trained_tokens=trainer.state.num_input_tokens_seen,
        files=tuple(sorted(path.name for path in folder.iterdir())),
        metadata=facts,
    )
