"""Translates a training spec into TRL's arguments."""

import math
from pathlib import Path
from typing import Any

import torch
from trl.trainer.sft_config import SFTConfig

from brightrun.contracts.training import TrainingSpec
from brightrun_trainer.model import precision

PARTS = 10
MOST_STEPS_LOST = 50


def training_arguments(spec: TrainingSpec, folder: Path, examples: int, evaluates: bool, limit: int) -> SFTConfig:
    """All that the spec decides, for `examples` of at most `limit` tokens; checkpoints go into `folder`."""
    steps = planned_steps(spec, examples)
    tenth = math.ceil(steps / PARTS)
    dtype = precision()
    return SFTConfig(
        output_dir=str(folder),
        seed=spec.seed,
        num_train_epochs=spec.epochs or 1,
        max_steps=spec.max_steps or -1,
        per_device_train_batch_size=spec.batch_size,
        per_device_eval_batch_size=spec.batch_size,
        gradient_accumulation_steps=spec.gradient_accumulation,
        learning_rate=spec.learning_rate,
        lr_scheduler_type=spec.scheduler,
        warmup_steps=_warmup(spec),
        weight_decay=spec.weight_decay,
        max_grad_norm=spec.max_grad_norm,
        max_length=limit,
        packing=spec.packing,
        eval_packing=False,
        dataset_kwargs={"skip_prepare_dataset": not spec.packing},
        bf16=dtype == torch.bfloat16,
        fp16=dtype == torch.float16,
        use_cpu=dtype == torch.float32,
        gradient_checkpointing=dtype != torch.float32,
        dataloader_pin_memory=dtype != torch.float32,
        logging_steps=1,
        logging_nan_inf_filter=False,
        include_num_input_tokens_seen="non_padding",
        report_to="none",
        disable_tqdm=True,
        **_cadence(spec, tenth, evaluates),
    )


def planned_steps(spec: TrainingSpec, examples: int) -> int:
    """Optimizer steps of the whole training; an upper bound if examples are packed."""
    if spec.max_steps:
        return spec.max_steps
    batches = math.ceil(examples / spec.batch_size)
    return math.ceil(batches / spec.gradient_accumulation) * (spec.epochs or 1)


def _cadence(spec: TrainingSpec, tenth: int, evaluates: bool) -> dict[str, Any]:
    """When to evaluate and save: by default ten times, and a checkpoint at least every 50 steps.

    With early stopping each evaluation saves, because the best of the evaluated adapters is the one delivered.
    """
    evaluation = spec.eval_steps or tenth
    early = spec.early_stopping is not None
    return {
        "eval_strategy": "steps" if evaluates else "no",
        "eval_steps": evaluation if evaluates else None,
        "save_strategy": "steps",
        "save_steps": evaluation if early else spec.save_steps or min(tenth, MOST_STEPS_LOST),
        "save_total_limit": spec.checkpoints_kept,
        "load_best_model_at_end": early,
        "metric_for_best_model": "eval_loss" if early else None,
        "greater_is_better": False if early else None,
        "restore_callback_states_from_checkpoint": early,
    }


def _warmup(spec: TrainingSpec) -> float:
    """Steps from 1 up, or a share below 1: the share 1 must not be read as one step."""
    if spec.warmup_ratio is not None:
        return min(spec.warmup_ratio, math.nextafter(1, 0))
    return spec.warmup_steps or 0
