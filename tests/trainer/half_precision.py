"""`half_precision.py RUN…`: the trainer as on a GPU that computes in half precision, on this machine's CPU.

Each RUN is JSON, done one after the other by the trainer's own `main` in a process forked for it:
`{"folder": …, "dtype": "bfloat16"}`, the number type that the GPU would have, which is all that is pretended. With
`"given": {place in the folder: path}`, what is copied there before; with `"options"`, those of `main`; with
`"quantized": true` TRL is told that the model is. It leaves `reports`, and in `seen` what was seen of the numbers.
"""

import json
import os
import shutil
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import torch

from brightrun_trainer import __main__, model, run


class Seen:
    """The number types of a training's parameters and of what its adapter computes, and how often each layer did so.

    With gradient checkpointing a layer computes twice for each batch it is trained on, the second time going backward.
    """

    def __init__(self) -> None:
        self._trained: set[str] = set()
        self._frozen: set[str] = set()
        self._products: set[str] = set()
        self._computed: Counter[str] = Counter()

    def watch(self, trainer: Any) -> None:
        """Look at the trainer's model, and listen to it while it trains."""
        for parameter in trainer.model.parameters():
            (self._trained if parameter.requires_grad else self._frozen).add(str(parameter.dtype))
        for name, module in trainer.model.named_modules():
            if name.endswith(".q_proj.lora_A.default"):
                module.register_forward_hook(partial(self._hear, name))

    def told(self) -> dict[str, list[Any]]:
        """All of it, for JSON."""
        return {
            "trained": sorted(self._trained),
            "frozen": sorted(self._frozen),
            "products": sorted(self._products),
            "computed": sorted(set(self._computed.values())),
        }

    def _hear(self, name: str, module: torch.nn.Module, _: Any, product: torch.Tensor) -> None:
        if module.training:
            self._products.add(str(product.dtype))
            self._computed[name] += 1


def pretend(dtype: torch.dtype, quantized: bool, seen: Seen) -> None:
    """Have this process's training take `dtype` for the frozen weights, and be seen."""
    make = run.make_trainer

    def make_seen(prepared: Any, *given: Any) -> Any:
        if quantized:
            prepared.base.model.is_loaded_in_4bit = True
        trainer = make(prepared, *given)
        if quantized:
            del prepared.base.model.is_loaded_in_4bit
        seen.watch(trainer)
        return trainer

    vars(model)["precision"] = vars(run)["precision"] = lambda: dtype
    vars(run)["make_trainer"] = make_seen


def train(asked: dict[str, Any]) -> NoReturn:
    """Run the trainer's `main`, and end the process."""
    folder = Path(asked["folder"])
    for place, path in asked.get("given", {}).items():
        shutil.copytree(path, folder / place)
    os.dup2(os.open(folder / "reports", os.O_WRONLY | os.O_CREAT), 1)
    seen = Seen()
    pretend(getattr(torch, asked["dtype"]), asked.get("quantized", False), seen)
    sys.argv = ["brightrun_trainer", str(folder), *asked.get("options", [])]
    __main__.main()
    (folder / "seen").write_text(json.dumps(seen.told()))
    os._exit(0)  # threads that were not forked with it could not be ended


def main() -> None:
    """All runs; exits with the first that failed."""
    for given in sys.argv[1:]:
        child = os.fork()
        if child == 0:
            train(json.loads(given))
        if code := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
            sys.exit(code)


if __name__ == "__main__":
    main()
