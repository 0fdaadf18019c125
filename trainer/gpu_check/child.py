"""`child.py REQUEST`: the trainer or the generator as this process, with what a check replaces, and with measurements.

REQUEST is JSON: `module` (`brightrun_trainer` or `brightrun_trainer.generate`), its `arguments`, and optionally `dtype`
(the number type of the frozen weights), `checkpointing`, and `measure`, the file that measurements are written to.
A base model without weights in its folder gets random ones, made on the device, the same in each process.
"""

import json
import runpy
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from brightrun.contracts import shapes
from brightrun.contracts.memory import needed
from brightrun.contracts.speed import tokens_per_second
from brightrun.contracts.training import TrainingSpec
from brightrun_trainer.delivery import adapter
from brightrun_trainer.model import base_model
from brightrun_trainer.training import run, trainers

load = AutoModelForCausalLM.from_pretrained


def load_or_make(path: str, *, dtype: torch.dtype, **options: Any) -> Any:
    """As `from_pretrained` does, or random weights in 0.02's normal distribution."""
    if list(Path(path).glob("*.safetensors")):
        return load(path, dtype=dtype, **options)
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        return AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(path), dtype=dtype)


def use_dtype(name: str) -> None:
    for module in (base_model, trainers, adapter):
        vars(module)["precision"] = lambda: getattr(torch, name)


def use_checkpointing(wanted: bool) -> None:
    for method in ("sft_arguments", "dpo_arguments"):
        make = getattr(trainers, method)
        vars(trainers)[method] = lambda plan, folder, make=make: replace(
            make(plan, folder), gradient_checkpointing=wanted
        )


def measure_in(file: Path) -> None:
    """Write the peak memory when the training has ended, and the estimates for it."""
    train = run.train

    def train_and_measure(run_dir: Path, task: Any, *arguments: Any) -> Any:
        base: dict[str, Any] = {}
        make = vars(run)["make_trainer"]

        def make_trainer(prepared: Any, *rest: Any) -> Any:
            model = prepared.base.model
            base["shape"] = shapes.read(model.config.to_dict(), sum(weight.numel() for weight in model.parameters()))
            return make(prepared, *rest)

        vars(run)["make_trainer"] = make_trainer
        report = train(run_dir, task, *arguments)
        file.write_text(json.dumps(measured(task.spec, base["shape"])))
        return report

    vars(run)["train"] = train_and_measure


def measured(spec: TrainingSpec, shape: Any) -> dict[str, Any]:
    gpu = torch.cuda.is_available()
    if gpu:
        peaks = {"peak_bytes": torch.cuda.max_memory_allocated(), "reserved_bytes": torch.cuda.max_memory_reserved()}
        kind = torch.cuda.get_device_name().removeprefix("NVIDIA ")
    else:
        peaks, kind = {"peak_bytes": psutil.Process().memory_info().rss}, "CPU"
    estimate = needed(spec, shape, "cuda" if gpu else "cpu")
    return peaks | {
        "parameters": shape.parameters,
        "estimated_tensor_bytes": estimate.tensors,
        "estimated_bytes": estimate.total,
        "estimated_tokens_per_second": tokens_per_second(spec, shape, kind),
    }


def main() -> None:
    request = json.loads(sys.argv[1])
    setattr(AutoModelForCausalLM, "from_pretrained", load_or_make)  # noqa: B010
    if "dtype" in request:
        use_dtype(request["dtype"])
    if "checkpointing" in request:
        use_checkpointing(request["checkpointing"])
    if "measure" in request:
        measure_in(Path(request["measure"]))
    sys.argv = [request["module"], *request["arguments"]]
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
