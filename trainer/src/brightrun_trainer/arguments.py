"""Translates a training spec into TRL's arguments."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.sft_config import SFTConfig

from brightrun.contracts.training import DEFAULT_BETA, TrainingSpec

PARTS = 10
MAX_STEPS_LOST = 50


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a training runs on: the number type of the frozen weights, and on how many processes, one a GPU."""

    dtype: torch.dtype
    processes: int = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """What decides a training beside its data: `rows` of at most `limit` tokens; `evaluates` on held-out ones."""

    spec: TrainingSpec
    rows: int
    limit: int
    evaluates: bool


def sft_arguments(plan: Plan, folder: Path, hardware: Hardware) -> SFTConfig:
    """For conversations; checkpoints go into `folder`."""
    return SFTConfig(
        max_length=plan.limit,
        packing=plan.spec.packing,
        eval_packing=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        **_common(plan, folder, hardware),
    )


def dpo_arguments(plan: Plan, folder: Path, hardware: Hardware) -> DPOConfig:
    """For pairs of answers; checkpoints go into `folder`."""
    return DPOConfig(
        max_length=plan.limit,
        beta=plan.spec.beta or DEFAULT_BETA,
        **_common(plan, folder, hardware),
    )


def _common(plan: Plan, folder: Path, hardware: Hardware) -> dict[str, Any]:
    spec, on_gpu = plan.spec, torch.cuda.is_available()
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
        "warmup_steps": _warmup(spec),
        "weight_decay": spec.weight_decay,
        "max_grad_norm": spec.max_grad_norm,
        "bf16": hardware.dtype == torch.bfloat16,
        "fp16": hardware.dtype == torch.float16,
        "use_cpu": not on_gpu,
        "gradient_checkpointing": hardware.dtype != torch.float32,
        "dataloader_pin_memory": on_gpu,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "include_num_input_tokens_seen": "non_padding",
        "report_to": "none",
        "disable_tqdm": True,
        **_cadence(plan, math.ceil(planned_steps(plan, hardware.processes) / PARTS)),
    }


def planned_steps(plan: Plan, processes: int = 1) -> int:
    """Optimizer steps of the whole training; each process takes a batch of its own."""
    spec = plan.spec
    if spec.max_steps:
        return spec.max_steps
    batches = math.ceil(plan.rows / (spec.batch_size * processes))
    return math.ceil(batches / spec.gradient_accumulation) * (spec.epochs or 1)


def _cadence(plan: Plan, tenth: int) -> dict[str, Any]:
    """When to evaluate and save: by default ten times, and a checkpoint at least every 50 steps.

    An evaluation that is the best so far saves as well, and which checkpoints are kept is decided elsewhere.
    """
    spec = plan.spec
    early = spec.early_stopping is not None
    return {
        "eval_strategy": "steps" if plan.evaluates else "no",
        "eval_steps": (spec.eval_steps or tenth) if plan.evaluates else None,
        "save_strategy": "steps",
        "save_steps": spec.save_steps or min(tenth, MAX_STEPS_LOST),
        "save_total_limit": None,
        "metric_for_best_model": "eval_loss" if plan.evaluates else None,
        "greater_is_better": False if plan.evaluates else None,
        "restore_callback_states_from_checkpoint": early,
    }


def _scheduler(spec: TrainingSpec) -> str:
    """A constant rate that shall warm up has another name in Transformers, which passes the warm-up over otherwise."""
    return "constant_with_warmup" if spec.scheduler == "constant" and _warmup(spec) else spec.scheduler


def _warmup(spec: TrainingSpec) -> float:
    """Steps from 1 up, or a share below 1: the share 1 must not be read as one step."""
    if spec.warmup_ratio is not None:
        return min(spec.warmup_ratio, math.nextafter(1, 0))
    return spec.warmup_steps or 0
