"""Run by the trainer's Python: prints as JSON what the trainer decides about models, number types and templates."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from transformers import BloomConfig, BloomForCausalLM
from trl.trainer import utils as trl_utils

from brightrun.contracts.training import TrainingSpec
from brightrun_trainer import machine
from brightrun_trainer.arguments import Hardware, Plan, dpo_arguments, planned_steps, sft_arguments
from brightrun_trainer.data import Conversation
from brightrun_trainer.failures import TrainingFailure, explain
from brightrun_trainer.model import Base, load_base
from brightrun_trainer.packing import keeps_apart
from brightrun_trainer.tokens import IGNORED, Encoder
from brightrun_trainer.trainers import widen_adapter

FOLDER = Path("nowhere")
MESSAGES = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Good day"}]


def packing(base: Base) -> dict[str, bool]:
    """Bloom knows positions by their distance alone and so cannot be told where an example begins."""
    bloom: Any = BloomForCausalLM(BloomConfig(vocab_size=2048, hidden_size=64, n_layer=2, n_head=4))
    deaf = Base(bloom, base.tokenizer, base.chat_template, "", 2048)
    return {"tiny": keeps_apart(base), "bloom": keeps_apart(deaf)}


def numbers() -> dict[str, Any]:
    """What each number type means for the arguments and for the adapter's numbers."""
    plan = Plan(TrainingSpec().resolved(), rows=100, limit=64, evaluates=True)
    single = sft_arguments(plan, FOLDER, Hardware(torch.float32))
    narrow = torch.nn.Linear(2, 2, dtype=torch.bfloat16)
    frozen = torch.nn.Linear(2, 2, dtype=torch.bfloat16).requires_grad_(False)
    widen_adapter(torch.nn.ModuleList([narrow, frozen]))
    return {
        "single": [single.bf16, single.fp16, single.use_cpu, single.gradient_checkpointing],
        "trained": str(narrow.weight.dtype),
        "frozen": str(frozen.weight.dtype),
        "steps": [planned_steps(plan, processes) for processes in (1, 4)],
        "beta": dpo_arguments(Plan(TrainingSpec(method="dpo"), 100, 64, False), FOLDER, Hardware(torch.float32)).beta,
    }


def schedules() -> list[Any]:
    """Name and warm-up of the rate's schedule for specs that differ in these."""
    specs: list[dict[str, Any]] = [{}, {"scheduler": "constant"}, {"scheduler": "constant", "warmup_steps": 5}]
    plans = [Plan(TrainingSpec(**spec).resolved(), 100, 64, False) for spec in [*specs, {"warmup_ratio": 1}]]
    made = [sft_arguments(plan, FOLDER, Hardware(torch.float32)) for plan in plans]
    return [[str(getattr(one.lr_scheduler_type, "value", one.lr_scheduler_type)), one.warmup_steps] for one in made]


def templates() -> dict[str, Any]:
    """What is learned of a conversation with templates by name, and whether serving renders the same."""
    told: dict[str, Any] = {}
    for name in ("plain", "phi3", "chatml"):
        try:
            base = load_base("tiny", template=name)
        except TrainingFailure as failure:
            told[name] = failure.error.code
            continue
        row = Encoder(base.tokenizer, base.chat_template, 1024).encode(Conversation(MESSAGES, None, b""))
        learned = base.tokenizer.decode([label for label in row["labels"] if label != IGNORED])
        served = base.tokenizer.apply_chat_template(MESSAGES, tokenize=False)
        told[name] = [learned, base.tokenizer.decode(row["input_ids"]) == served]
    return told


def causes() -> dict[str, str]:
    """The code of errors as PyTorch and its friends raise them."""
    errors: dict[str, Exception] = {
        "cuda_oom": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        "cpu_oom": RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
        "disk": RuntimeError("I/O error: No space left on device (os error 28)"),
        "gpu": RuntimeError("CUDA error: device-side assert triggered"),
        "unforeseen": KeyError("x"),
    }
    return {name: explain(error).code for name, error in errors.items()}


def scored(base: Base) -> int:
    """Positions that the head scores of ten of which three are learned."""
    model: Any = base.model
    trl_utils.add_fused_lm_head(model)
    heard: list[int] = []
    head = trl_utils._ChunkedLogProbFunction
    trl_utils._ChunkedLogProbFunction = SimpleNamespace(
        apply=lambda hidden, *rest: heard.append(len(hidden)) or head.apply(hidden, *rest)
    )
    ids = torch.arange(10)[None]
    model(input_ids=ids, labels=ids.where(ids > 6, IGNORED), fused_lm_head=True)
    return heard[0]


class SilentGpus:
    """Two GPUs whose NVML says nothing at first asking."""

    asked = 0

    def utilization(self, gpu: int) -> int:
        self.asked += 1
        raise ModuleNotFoundError("nvidia-ml-py does not seem to be installed")


def utilization() -> list[Any]:
    """The mean of two GPUs; and how often GPUs that say nothing are asked."""
    seen = machine.Machine()
    seen._gpus = 2
    machine.torch.cuda.utilization = lambda gpu: 40 + 20 * gpu  # type: ignore[attr-defined, assignment]
    mean = seen.gpu_utilization()
    silent, gpus = machine.Machine(), SilentGpus()
    silent._gpus = 2
    machine.torch.cuda.utilization = gpus.utilization  # type: ignore[attr-defined, assignment]
    return [mean, [silent.gpu_utilization() for _ in range(3)], gpus.asked]


def main() -> None:
    """Print all of it."""
    base = load_base("tiny")
    told = {
        "packing": packing(base),
        "numbers": numbers(),
        "schedules": schedules(),
        "templates": templates(),
        "causes": causes(),
        "scored": scored(base),
        "utilization": utilization(),
    }
    sys.stdout.write("\n" + json.dumps(told))


if __name__ == "__main__":
    main()
