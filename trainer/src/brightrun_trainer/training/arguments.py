"""Translates a training spec into TRL's arguments."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.sft_config import SFTConfig

from brightrun.contracts.run_folder import MAX_STEPS_BETWEEN_CHECKPOINTS
from brightrun.contracts.training import DEFAULT_BETA, TrainingSpec

DEFAULT_EVALUATIONS = 10
NO_WARMUP = "The training has one step only: it has no warm-up, in which its learning rate would be 0."
ONLY_WARMUP = (
    "The only step of the training is warm-up, as warmup_steps asks: its learning rate is 0, it learns nothing."
)


@dataclass(frozen=True, slots=True)
class Plan:
    """A spec for `rows` of at most `limit` tokens; `evaluates`: there are held-out rows.

    `dtype` is the number type of the frozen weights, `processes` the number of processes, one a GPU.
    """

    spec: TrainingSpec
    rows: int
    limit: int
    evaluates: bool
    dtype: torch.dtype
    processes: int


def sft_arguments(plan: Plan, folder: Path) -> SFTConfig:
    """For conversations; checkpoints go into `folder`."""
    return SFTConfig(
        max_length=plan.limit,
        packing=plan.spec.packing,
        eval_packing=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        **_common(plan, folder),
    )


def dpo_arguments(plan: Plan, folder: Path) -> DPOConfig:
    """For pairs of answers; checkpoints go into `folder`."""
    return DPOConfig(max_length=plan.limit, beta=plan.spec.beta or DEFAULT_BETA, **_common(plan, folder))


def _common(plan: Plan, folder: Path) -> dict[str, Any]:
    """By default ten evaluations and checkpoints, and a checkpoint at least every 50 steps."""
    spec, on_gpu = plan.spec, torch.cuda.is_available()
    default_steps = math.ceil(planned_steps(plan) / DEFAULT_EVALUATIONS)
    return {
        "output_dir": str(folder),
        "seed": spec.seed,
        "num_train_epochs": spec.epochs or 1,
        "max_steps": spec.max_steps or -1,
        "per_device_train_batch_size": spec.batch_size,
        "per_device_eval_batch_size": spec.batch_size,
        "gradient_accumulation_steps": spec.gradient_accumulation,
        "learning_rate": spec.learning_rate,
        "lr_scheduler_type": _scheduler(spec),
        "warmup_steps": 0 if warmup_note(plan) == NO_WARMUP else _warmup(spec),
        "weight_decay": spec.weight_decay,
        "max_grad_norm": spec.max_grad_norm,
        "bf16": plan.dtype == torch.bfloat16,
        "fp16": plan.dtype == torch.float16,
        "use_cpu": not on_gpu,
        "gradient_checkpointing": plan.dtype != torch.float32,
        "dataloader_pin_memory": on_gpu,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "include_num_input_tokens_seen": "non_padding",
        "report_to": "none",
        "disable_tqdm": True,
        "eval_strategy": "steps" if plan.evaluates else "no",
        "eval_steps": (spec.eval_steps or default_steps) if plan.evaluates else None,
        "save_strategy": "steps",
        "save_steps": spec.save_steps or min(default_steps, MAX_STEPS_BETWEEN_CHECKPOINTS),
        "save_total_limit": None,  # checkpoints.delete_old decides
        "metric_for_best_model": "eval_loss" if plan.evaluates else None,
        "greater_is_better": False if plan.evaluates else None,
        "restore_callback_states_from_checkpoint": spec.early_stopping is not None,
    }


def planned_steps(plan: Plan) -> int:
    """Optimizer steps of the whole training; each process takes a batch of its own."""
    spec = plan.spec
    if spec.max_steps:
        return spec.max_steps
    batches = math.ceil(plan.rows / (spec.batch_size * plan.processes))
    return math.ceil(batches / spec.gradient_accumulation) * (spec.epochs or 1)


def warmup_note(plan: Plan) -> str | None:
    """What to tell about a training whose only step would be warm-up: its learning rate is 0 then."""
    if planned_steps(plan) > 1 or not _warmup(plan.spec):
        return None
    return ONLY_WARMUP if plan.spec.warmup_steps else NO_WARMUP


def _scheduler(spec: TrainingSpec) -> str:
    """Transformers ignores the warm-up of `constant`; with one, the schedule has another name."""
    return "constant_with_warmup" if spec.scheduler == "constant" and _warmup(spec) else spec.scheduler


def _warmup(spec: TrainingSpec) -> float:
    """Transformers reads a number below 1 as a ratio, and so the ratio 1 would be one step."""
    if spec.warmup_ratio is not None:
        return min(spec.warmup_ratio, math.nextafter(1, 0))
    return spec.warmup_steps or 0
