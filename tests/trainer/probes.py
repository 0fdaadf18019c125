"""Run by the trainer's Python: prints the trainer's decisions about models, number types and templates as JSON."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from transformers import BloomConfig, BloomForCausalLM
from trl.trainer import utils as trl_utils

from brightrun.contracts.training import TrainingSpec
from brightrun_trainer.data.examples import Example
from brightrun_trainer.data.packing import supports_packing
from brightrun_trainer.data.tokens import IGNORED, Encoder
from brightrun_trainer.model.base_model import LoadedModel, load_base
from brightrun_trainer.process.failures import TrainingFailure, explain
from brightrun_trainer.process.resources import ResourceUsage
from brightrun_trainer.training.arguments import Plan, dpo_arguments, planned_steps, sft_arguments
from brightrun_trainer.training.trainers import widen_adapter

FOLDER = Path("nowhere")
MESSAGES = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Good day"}]


def packing(base: LoadedModel) -> dict[str, bool]:
    """Bloom has no position ids, and so cannot separate packed examples."""
    bloom: Any = BloomForCausalLM(BloomConfig(vocab_size=2048, hidden_size=64, n_layer=2, n_head=4))
    without_positions = LoadedModel(bloom, base.tokenizer, base.chat_template, "", 2048)
    return {"tiny": supports_packing(base), "bloom": supports_packing(without_positions)}


def plan_of(spec: TrainingSpec, processes: int = 1) -> Plan:
    return Plan(spec, rows=100, limit=64, evaluates=True, dtype=torch.float32, processes=processes)


def numbers() -> dict[str, Any]:
    """How number types and processes change the arguments and the adapter."""
    plan, on_four = (plan_of(TrainingSpec().resolved(), processes) for processes in (1, 4))
    single = sft_arguments(plan, FOLDER)
    narrow = torch.nn.Linear(2, 2, dtype=torch.bfloat16)
    frozen = torch.nn.Linear(2, 2, dtype=torch.bfloat16).requires_grad_(False)
    widen_adapter(torch.nn.ModuleList([narrow, frozen]))
    return {
        "single": [single.bf16, single.fp16, single.use_cpu, single.gradient_checkpointing],
        "trained": str(narrow.weight.dtype),
        "frozen": str(frozen.weight.dtype),
        "steps": [planned_steps(plan), planned_steps(on_four)],
        "beta": dpo_arguments(plan_of(TrainingSpec(method="dpo")), FOLDER).beta,
    }


def schedules() -> list[Any]:
    """Name and warm-up of the schedule for specs that differ in these."""
    specs: list[dict[str, Any]] = [{}, {"scheduler": "constant"}, {"scheduler": "constant", "warmup_steps": 5}]
    plans = [plan_of(TrainingSpec(**spec).resolved()) for spec in [*specs, {"warmup_ratio": 1}, {"max_steps": 1}]]
    configs = [sft_arguments(plan, FOLDER) for plan in plans]
    return [
        [str(getattr(config.lr_scheduler_type, "value", config.lr_scheduler_type)), config.warmup_steps]
        for config in configs
    ]


def templates() -> dict[str, Any]:
    """The learned text of a conversation for named templates, and whether serving renders the same."""
    results: dict[str, Any] = {}
    for name in ("plain", "phi3", "chatml"):
        try:
            base = load_base("tiny", template=name)
        except TrainingFailure as failure:
            results[name] = failure.error.code
            continue
        row = Encoder(base.tokenizer, base.chat_template, 1024).encode(Example(MESSAGES, None, b""))
        learned = base.tokenizer.decode([label for label in row["labels"] if label != IGNORED])
        served = base.tokenizer.apply_chat_template(MESSAGES, tokenize=False)
        results[name] = [learned, base.tokenizer.decode(row["input_ids"]) == served]
    return results


def causes() -> dict[str, str]:
    """The codes of errors as PyTorch and its libraries raise them."""
    errors: dict[str, Exception] = {
        "cuda_oom": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        "cpu_oom": RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
        "disk": RuntimeError("I/O error: No space left on device (os error 28)"),
        "gpu": RuntimeError("CUDA error: device-side assert triggered"),
        "unknown": KeyError("x"),
    }
    return {name: explain(error).code for name, error in errors.items()}


def scored(base: LoadedModel) -> int:
    """How many of ten positions the head scores if three are learned."""
    model: Any = base.model
    trl_utils.add_fused_lm_head(model)
    scored_rows: list[int] = []
    head = trl_utils._ChunkedLogProbFunction
    trl_utils._ChunkedLogProbFunction = SimpleNamespace(
        apply=lambda hidden, *rest: scored_rows.append(len(hidden)) or head.apply(hidden, *rest)
    )
    ids = torch.arange(10)[None]
    model(input_ids=ids, labels=ids.where(ids > 6, IGNORED), fused_lm_head=True)
    return scored_rows[0]


def utilization() -> list[Any]:
    """The mean of two GPUs; and how often NVML is called after a failure."""
    mean = ResourceUsage(2, lambda gpu: 40 + 20 * gpu).gpu_utilization()
    calls: list[int] = []

    def fail(gpu: int) -> int:
        calls.append(gpu)
        raise ModuleNotFoundError("nvidia-ml-py does not seem to be installed")

    failing = ResourceUsage(2, fail)
    return [mean, [failing.gpu_utilization() for _ in range(3)], len(calls)]


def main() -> None:
    base = load_base("tiny")
    results = {
        "packing": packing(base),
        "numbers": numbers(),
        "schedules": schedules(),
        "templates": templates(),
        "causes": causes(),
        "scored": scored(base),
        "utilization": utilization(),
    }
    sys.stdout.write("\n" + json.dumps(results))


if __name__ == "__main__":
    main()
