"""How much memory a LoRA training takes of each GPU, or of the machine where it has none.

The coefficients were fitted to what PyTorch, Transformers, PEFT and TRL keep alive during a step, tensor by tensor
(`tests/trainer/test_memory.py` repeats that); the whole was never compared with a GPU's own figure.
"""

from dataclasses import dataclass
from typing import Literal

from brightrun.contracts.shapes import ModelShape
from brightrun.contracts.training import TrainingSpec

Device = Literal["cuda", "cpu"]

GIB = 1 << 30
HALF, SINGLE = 2, 4
NF4 = 0.516
"""Bytes of a weight: 4 bits, and 0.127 for its block's doubly quantized constants (QLoRA, Dettmers et al. 2023)."""
ADAPTER = 4 * SINGLE + HALF
"""Bytes of a trained parameter: itself, its gradient, Adam's two moments, and its copy in half precision."""
TILE_TOKENS, TILE_VOCABULARY = 4096, 32_768
"""TRL scores so many tokens at a time against so much of the vocabulary: the logits are never there as a whole."""
TILE_COPIES = 8
"""Of a tile's numbers in single precision, where no Triton kernel folds it: on a CPU."""
CONTEXT = {"cuda": GIB, "cpu": GIB // 2}
"""Bytes of the CUDA context, or of a process that has imported everything."""
SPARE = {"cuda": 1.1, "cpu": 1.6}
"""For what the allocator cannot use; glibc's gives back little of what lies between."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that a training needs, by what they hold; `layer` is the one that is worked on, where only it is kept."""

    weights: int
    adapter: int
    activations: int
    layer: int
    device: Device = "cuda"

    @property
    def tensors(self) -> int:
        """What PyTorch's tensors take at their peak."""
        return self.weights + self.adapter + self.activations + self.layer

    @property
    def total(self) -> int:
        """With what the device's software takes, and what fragmentation does."""
        return round(self.tensors * SPARE[self.device]) + CONTEXT[self.device]


def device_of(gpu_type: str) -> Device:
    """What a row of the price table is, by its name."""
    return "cpu" if gpu_type.upper().startswith("CPU") else "cuda"


def needed(spec: TrainingSpec, shape: ModelShape, device: Device = "cuda") -> Memory:
    """What a training takes of each of its devices at most, with batches full of examples of `max_length` tokens.

    On a GPU the frozen weights are in half precision and gradient checkpointing keeps the input of every layer, and
    one layer at a time in full; on a CPU all is in single precision and nothing is computed twice. DPO has two answers
    in each example.
    """
    length = min(spec.max_length, shape.context or spec.max_length)
    tokens = spec.batch_size * length * (2 if spec.method == "dpo" else 1)
    targets = adapted_maps(spec, shape)
    width, mask = shape.hidden_size, 3 * length
    if device == "cpu":
        activations = tokens * (shape.layers * _whole_layer(spec, shape, targets) + SINGLE * width + mask)
        tile = SINGLE * TILE_COPIES * min(shape.vocabulary, TILE_VOCABULARY)
        layer = min(tokens, TILE_TOKENS) * tile
    else:
        kept = HALF * width * shape.layers + 6 * width + 10 * shape.head_size
        activations = tokens * (kept + mask)
        head = min(tokens, TILE_TOKENS) * HALF * TILE_VOCABULARY + tokens * 6 * width
        layer = max(tokens * _checkpointed_layer(spec, shape, targets), head) + _dequantized(spec, shape)
    trained = spec.rank * shape.layers * sum(inputs + outputs for inputs, outputs in targets.values())
    return Memory(_weights(spec, shape, device), ADAPTER * trained, activations, layer, device)


def advise(spec: TrainingSpec, shape: ModelShape, available: int, device: Device = "cuda") -> str:
    """What to change so that the training fits into `available` bytes, in a sentence with the figures.

    A smaller batch with more gradient accumulation trains the same; shorter examples and nf4 do not.
    """
    has = "the GPU has" if device == "cuda" else "there are"
    total = needed(spec, shape, device).total
    need = f"Batch {spec.batch_size} needs about {_gib(total)} GiB, {has} {_gib(available)}"
    if total <= available:
        return f"{need}: see what else uses it, or try a smaller batch with more gradient_accumulation."
    for batch in _smaller(spec.batch_size):
        if _fits(spec.model_copy(update={"batch_size": batch}), shape, available, device):
            more = spec.gradient_accumulation * spec.batch_size // batch
            return f"{need}: try {batch}, with gradient_accumulation {more} to train the same."
    least = spec.model_copy(update={"batch_size": 1})
    for length in (spec.max_length >> halvings for halvings in range(1, 11)):
        if length >= 128 and _fits(least.model_copy(update={"max_length": length}), shape, available, device):
            return f"{need}: try batch 1 and max_length {length}."
    if device == "cuda" and spec.quantization == "none":
        quantized = least.model_copy(update={"quantization": "nf4"})
        if _fits(quantized, shape, available, device):
            return f"{need}: try quantization nf4 and batch 1."
    return f"{need}, and no smaller batch fits: take a larger GPU or a smaller base model."


def adapted_maps(spec: TrainingSpec, shape: ModelShape) -> dict[str, tuple[int, int]]:
    """The linear maps of a layer that carry an adapter; names that are not the usual ones count as none."""
    if spec.target_modules == "all-linear":
        return shape.linear
    return {name: sizes for name, sizes in shape.linear.items() if name in spec.target_modules}


def _smaller(batch: int) -> list[int]:
    """Powers of two and divisors below a batch, largest first."""
    return [size for size in range(batch - 1, 0, -1) if batch % size == 0 or size & (size - 1) == 0]


def _fits(spec: TrainingSpec, shape: ModelShape, available: int, device: Device) -> bool:
    return needed(spec, shape, device).total <= available


def _gib(size: int) -> str:
    gib = size / GIB
    return f"{gib:.0f}" if gib >= 10 else f"{gib:.1f}"


def _weights(spec: TrainingSpec, shape: ModelShape, device: Device) -> int:
    """nf4 quantizes the linear maps; embeddings stay as they are."""
    if spec.quantization == "none":
        return (SINGLE if device == "cpu" else HALF) * shape.parameters
    linear = shape.layers * sum(inputs * outputs for inputs, outputs in shape.linear.values())
    quantized = min(linear, shape.parameters)
    return round(NF4 * quantized) + HALF * (shape.parameters - quantized)


def _dequantized(spec: TrainingSpec, shape: ModelShape) -> int:
    """Of nf4 weights one map is there in half precision at a time."""
    if spec.quantization == "none":
        return 0
    return HALF * max(inputs * outputs for inputs, outputs in shape.linear.values())


def _checkpointed_layer(spec: TrainingSpec, shape: ModelShape, targets: dict[str, tuple[int, int]]) -> int:
    """Bytes a token of one layer with its gradients, under autocast to half precision.

    PEFT widens each adapted map's input to single precision and back; dropout keeps a mask of it, and a copy of the
    last one.
    """
    queries = shape.attention_heads * shape.head_size
    inputs = [width for width, _ in targets.values()]
    plain = 12 * shape.hidden_size + 9 * queries + 10 * shape.intermediate_size
    adapted = HALF * sum(inputs) + HALF * max(inputs, default=0) + 8 * spec.rank * len(inputs)
    dropped = sum(inputs) + SINGLE * max(inputs, default=0) if spec.dropout else 0
    return plain + adapted + dropped


def _whole_layer(spec: TrainingSpec, shape: ModelShape, targets: dict[str, tuple[int, int]]) -> int:
    """Bytes a token that a layer keeps for its gradients, in single precision.

    Maps that read the same share it until dropout gives each a copy of its own, and a mask in single precision.
    """
    queries = shape.attention_heads * shape.head_size
    plain = 16 * shape.hidden_size + 17 * queries + 16 * shape.intermediate_size
    if not spec.dropout:
        return plain
    inputs = [width for width, _ in targets.values()]
    shared = sum({name: sizes[0] for name, sizes in targets.items() if name in ("q_proj", "gate_proj")}.values())
    shared += sum(sizes[0] for name, sizes in targets.items() if name in ("o_proj", "down_proj"))
    return plain + 2 * SINGLE * sum(inputs) - SINGLE * shared
