"""How much of a GPU's memory a LoRA training takes."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from brightrun.api.price_table import ModelShape
from brightrun.contracts.training import TrainingSpec

Verdict = Literal["fits", "does_not_fit", "unknown"]

GIB = 1 << 30
HALF, SINGLE = 2, 4
NF4 = 0.516
"""Bytes of a weight: 4 bits, and 0.127 for its block's doubly quantized constants (QLoRA, Dettmers et al. 2023)."""
ADAPTER = 4 * SINGLE
"""Bytes of a trained parameter: itself, its gradient and Adam's two moments."""
LOGIT = HALF + SINGLE + SINGLE + HALF
"""Bytes of a logit: as computed, as the loss reads it, and the gradients of both."""
CONTEXT_BYTES = GIB
SPARE = 1.1
"""For what the allocator cannot use."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that one GPU needs, by what they hold."""

    weights: int
    adapter: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        """With the CUDA context and what fragmentation takes."""
        return round((self.weights + self.adapter + self.activations + self.logits) * SPARE) + CONTEXT_BYTES


def needed(spec: TrainingSpec, shape: ModelShape) -> Memory:
    """What a training takes of each of its GPUs at most, with examples of `max_length` tokens.

    Weights are frozen in half precision. Activations are counted as by Korthikanti et al. (2022, "Reducing Activation
    Recomputation in Large Transformer Models"), for a gated feed-forward layer and attention that keeps no scores: with
    gradient checkpointing, as the trainer has it, the input of every layer stays, and all of one layer at a time.
    """
    width, tokens = shape.hidden_size, spec.batch_size * spec.max_length
    layer = 18 * width + 8 * shape.intermediate_size
    return Memory(
        weights=_weights(spec, shape),
        adapter=ADAPTER * _adapter_parameters(spec, shape),
        activations=tokens * (HALF * width * shape.layers + layer),
        logits=tokens * shape.vocabulary * LOGIT,
    )


def verdict(memory: Memory | None, memory_gib: Decimal | None) -> Verdict:
    """Whether a GPU is large enough, where both are known."""
    if memory is None or memory_gib is None:
        return "unknown"
    return "fits" if memory.total <= memory_gib * GIB else "does_not_fit"


def _linear(shape: ModelShape) -> dict[str, tuple[int, int]]:
    """Inputs and outputs of the linear maps in each layer, by their usual names."""
    width, inner = shape.hidden_size, shape.intermediate_size
    queries, keys = shape.attention_heads * shape.head_size, shape.kv_heads * shape.head_size
    return {
        "q_proj": (width, queries),
        "k_proj": (width, keys),
        "v_proj": (width, keys),
        "o_proj": (queries, width),
        "gate_proj": (width, inner),
        "up_proj": (width, inner),
        "down_proj": (inner, width),
    }


def _weights(spec: TrainingSpec, shape: ModelShape) -> int:
    """nf4 quantizes the linear maps; embeddings stay as they are."""
    if spec.quantization == "none":
        return HALF * shape.parameters
    quantized = min(
        shape.layers * sum(inputs * outputs for inputs, outputs in _linear(shape).values()), shape.parameters
    )
    return round(NF4 * quantized) + HALF * (shape.parameters - quantized)


def _adapter_parameters(spec: TrainingSpec, shape: ModelShape) -> int:
    linear = _linear(shape)
    targets = linear if spec.target_modules == "all-linear" else linear.keys() & set(spec.target_modules)
    return spec.rank * shape.layers * sum(sum(linear[name]) for name in targets)
