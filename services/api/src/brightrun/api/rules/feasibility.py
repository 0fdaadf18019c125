"""What a training cannot have, though each of its hyperparameters is well formed: the one place that says so.

The trainer refuses the same, and what only shows when the model is there; what a data set or an earlier model does not
suit is in `inputs`.
"""

from collections.abc import Iterator

from brightrun.contracts.memory import device_of
from brightrun.contracts.shapes import ModelShape
from brightrun.contracts.training import GpuConfig, TrainingSpec

LLAMA_LIKE = frozenset({"llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "smollm3"})
"""Model types whose linear maps all have the usual names."""
STATEFUL = frozenset(
    {"bloom", "falcon_h1", "falcon_mamba", "jamba", "mamba", "mamba2", "mpt", "recurrent_gemma", "rwkv", "zamba2"}
)
"""Model types that know where a token stands from those before it, and so cannot tell packed examples apart."""
EMBEDDINGS = "embed_tokens"
MIN_EXAMPLES = 20
"""Of smaller data sets the trainer holds nothing out by itself."""


def problems(
    spec: TrainingSpec, gpu: GpuConfig, shape: ModelShape | None, examples: int | None = None
) -> dict[str, list[str]]:
    """What cannot be had, by the order's paths; of a model of unknown shape only what goes for all.

    `examples`: how many the data set has, where that is known.
    """
    found: dict[str, list[str]] = {}
    for name, reason in _reasons(spec, gpu, shape, examples):
        found.setdefault(f"hyperparameters.{name}", []).append(reason)
    return found


def _reasons(
    spec: TrainingSpec, gpu: GpuConfig, shape: ModelShape | None, examples: int | None
) -> Iterator[tuple[str, str]]:
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
    given = spec.validation_split is not None or spec.validation_dataset_id is not None
    return given or examples is None or examples >= MIN_EXAMPLES
