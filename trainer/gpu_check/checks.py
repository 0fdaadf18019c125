"""What is checked: the trainings with their models, number types, batches and lengths, most important first."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Training:
    """A training of a few steps in full batches. `dtype`: of the frozen weights, where not what the device takes."""

    name: str
    model: str
    spec: dict[str, Any] = field(default_factory=dict)
    dtype: str | None = None
    checkpointing: bool | None = None
    weights: bool = False
    """Whether the base model's weights are loaded from its folder, as nf4 needs."""


def on_gpu() -> Iterator[Training]:
    for model in ("0.5b", "1.5b", "8b"):
        yield Training(f"sft {model} bf16", model)
    yield Training("dpo 0.5b bf16", "0.5b", {"method": "dpo"})
    yield Training("sft 0.5b fp16", "0.5b", dtype="float16")
    yield Training("sft 1.5b nf4", "1.5b", {"quantization": "nf4"}, weights=True)
    yield Training("dpo 1.5b nf4", "1.5b", {"method": "dpo", "quantization": "nf4"}, weights=True)
    yield Training("sft 0.5b packed", "0.5b", {"packing": True})
    for model in ("0.5b", "8b"):
        yield Training(f"sft {model} without checkpointing", model, {"batch_size": 1}, checkpointing=False)
    for model, batch, length in (
        ("0.5b", 16, 1024),
        ("0.5b", 4, 4096),
        ("1.5b", 16, 1024),
        ("8b", 1, 1024),
        ("8b", 8, 1024),
        ("8b", 2, 4096),
    ):
        spec = {"batch_size": batch, "max_length": length}
        yield Training(f"sft {model} batch {batch} length {length}", model, spec)


def smallest() -> Iterator[Training]:
    """One of each kind that a CPU can run."""
    small = {"batch_size": 2, "max_length": 64}
    yield Training("sft micro", "micro", small)
    yield Training("dpo micro bf16 with checkpointing", "micro", small | {"method": "dpo"}, "bfloat16", True)


TOO_LARGE = {"batch_size": 64, "max_length": 16_384}
"""Does not fit on any GPU with the model of 8 B."""
