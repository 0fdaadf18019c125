"""Feasibility of a training: combinations that no cluster can run, and the memory that it needs.

The trainer rejects the same, and what only shows once the model is loaded.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from brightrun.api.pricing.models import GpuPrice
from brightrun.contracts.memory import GIB, advise, device_of, needed
from brightrun.contracts.shapes import ModelShape
from brightrun.contracts.training import MIN_EXAMPLES_TO_SPLIT, GpuConfig, TrainingSpec, is_model_name

LLAMA_LIKE = frozenset({"llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "smollm3"})
"""Model types whose linear layers have the usual names."""
STATEFUL = frozenset(
    {"bloom", "falcon_h1", "falcon_mamba", "jamba", "mamba", "mamba2", "mpt", "recurrent_gemma", "rwkv", "zamba2"}
)
"""Model types that derive positions from previous tokens, and so cannot separate packed examples."""
EMBEDDINGS = "embed_tokens"


def problems(
    spec: TrainingSpec, gpu: GpuConfig, shape: ModelShape | None, examples: int | None = None
) -> dict[str, list[str]]:
    """Infeasible combinations, by the request's paths; for a model of unknown shape only general ones.

    `examples`: those of the data set, where known.
    """
    found: dict[str, list[str]] = {}
    for name, reason in _reasons(spec, gpu, shape, examples):
        found.setdefault(f"hyperparameters.{name}", []).append(reason)
    return found


def _reasons(
    spec: TrainingSpec, gpu: GpuConfig, shape: ModelShape | None, examples: int | None
) -> Iterator[tuple[str, str]]:
    if not is_model_name(spec.base_model):
        yield "base_model", f"{spec.base_model[:80]!a} is no name of a model: give one of GET /api/base-models"
    if spec.quantization == "nf4" and device_of(gpu.type) == "cpu":
        yield "quantization", f"nf4 needs an NVIDIA GPU, and {gpu.type} is none: use none, or another GPU type"
    if "lm_head" in spec.target_modules:
        yield "target_modules", "lm_head cannot carry a LoRA adapter: take it out"
    if shape and (unknown := _unknown_modules(spec, shape)):
        known = ", ".join(shape.linear)
        yield "target_modules", f"{spec.base_model} has no {', '.join(unknown)}: there are {known}, or use all-linear"
    if spec.packing and shape and shape.model_type in STATEFUL:
        yield "packing", f"{spec.base_model} ({shape.model_type}) cannot tell packed examples apart: leave packing out"
    if not _evaluates(spec, examples):
        for name in ("early_stopping", "eval_steps"):
            if getattr(spec, name) is not None:
                yield name, f"there is nothing to evaluate on, with {examples} examples: add a validation_split"


def _unknown_modules(spec: TrainingSpec, shape: ModelShape) -> list[str]:
    if spec.target_modules == "all-linear" or shape.model_type not in LLAMA_LIKE:
        return []
    names = {*shape.linear, EMBEDDINGS, "lm_head"}
    return [name for name in spec.target_modules if name.rpartition(".")[2] not in names]


def _evaluates(spec: TrainingSpec, examples: int | None) -> bool:
    requested = spec.validation_split is not None or spec.validation_dataset_id is not None
    return requested or examples is None or examples >= MIN_EXAMPLES_TO_SPLIT


Verdict = Literal["fits", "does_not_fit", "unknown"]


@dataclass(frozen=True, slots=True)
class MemoryFit:
    """Bytes that one GPU of a type needs, and whether it has them; `advice` says what to change if not."""

    gpu: GpuPrice
    needed: int | None
    verdict: Verdict
    advice: str | None = None


def evaluate_memory(spec: TrainingSpec, shape: ModelShape | None, gpu: GpuPrice) -> MemoryFit:
    """The memory of a training on a GPU type; unknown without the model's shape or the GPU's memory."""
    if shape is None:
        return MemoryFit(gpu, None, "unknown")
    device = device_of(gpu.type)
    total = needed(spec, shape, device).total
    if gpu.memory_gib is None:
        return MemoryFit(gpu, total, "unknown")
    available = int(gpu.memory_gib * GIB)
    if total <= available:
        return MemoryFit(gpu, total, "fits")
    return MemoryFit(gpu, total, "does_not_fit", advise(spec, shape, available, device))


def in_gib(size: int) -> Decimal:
    """Bytes as GiB."""
    return Decimal(size) / GIB
