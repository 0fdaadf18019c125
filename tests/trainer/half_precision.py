"""`half_precision.py RUN`: runs the trainer as on a GPU that computes in half precision, on this machine's CPU.

RUN is JSON: `{"folder": …, "dtype": "bfloat16"}`, where only the number type that the GPU would have is replaced. With
`"copies": {place in the folder: path}`, what is copied there first; with `"options"`, those of the trainer's `main`;
with `"quantized": true` TRL is told that the model is quantized. Leaves `observed` in the folder.
"""

import json
import os
import shutil
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import torch

from brightrun_trainer import __main__
from brightrun_trainer.model import base_model
from brightrun_trainer.training import run, trainers


class Observed:
    """The number types of a training's parameters and of its adapter's outputs, and how often each layer computed.

    With gradient checkpointing a layer computes twice for each batch it is trained on, the second time going backward.
    """

    def __init__(self) -> None:
        self._trained: set[str] = set()
        self._frozen: set[str] = set()
        self._outputs: set[str] = set()
        self._computations: Counter[str] = Counter()

    def watch(self, trainer: Any) -> None:
        for parameter in trainer.model.parameters():
            (self._trained if parameter.requires_grad else self._frozen).add(str(parameter.dtype))
        for name, module in trainer.model.named_modules():
            if name.endswith(".q_proj.lora_A.default"):
                module.register_forward_hook(partial(self._count, name))

    def results(self) -> dict[str, list[Any]]:
        return {
            "trained": sorted(self._trained),
            "frozen": sorted(self._frozen),
            "outputs": sorted(self._outputs),
            "computations": sorted(set(self._computations.values())),
        }

    def _count(self, name: str, module: torch.nn.Module, _: Any, output: torch.Tensor) -> None:
        if module.training:
            self._outputs.add(str(output.dtype))
            self._computations[name] += 1


def replace(dtype: torch.dtype, quantized: bool, observed: Observed) -> None:
    """Let this process's training use `dtype` for the frozen weights, and observe it."""
    make = run.make_trainer

    def make_observed(prepared: Any, *arguments: Any) -> Any:
        if quantized:
            prepared.base.model.is_loaded_in_4bit = True
        trainer = make(prepared, *arguments)
        if quantized:
            del prepared.base.model.is_loaded_in_4bit
        observed.watch(trainer)
        return trainer

    vars(base_model)["precision"] = vars(trainers)["precision"] = lambda: dtype
    vars(run)["make_trainer"] = make_observed


def main() -> None:
    """Run the trainer's `main` as this process."""
    request = json.loads(sys.argv[1])
    folder = Path(request["folder"])
    for place, path in request.get("copies", {}).items():
        shutil.copytree(path, folder / place)
    observed = Observed()
    replace(getattr(torch, request["dtype"]), request.get("quantized", False), observed)
    sys.argv = ["brightrun_trainer", str(folder), *request.get("options", [])]
    __main__.main()
    (folder / "observed").write_text(json.dumps(observed.results()))
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
