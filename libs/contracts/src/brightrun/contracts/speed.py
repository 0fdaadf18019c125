"""How long a LoRA training computes, from the size of its base model; a rule of thumb, not measured on any GPU here."""

from brightrun.contracts.memory import Device, adapted_maps
from brightrun.contracts.shapes import ModelShape
from brightrun.contracts.training import TrainingSpec

TERA = 10**12
PEAK = {"A100": 312, "H100": 989, "H200": 989, "L40S": 362, "L4": 121, "V100": 125, "T4": 65}
"""Dense half-precision teraFLOP a second of one GPU, by the beginning of its type's name, as NVIDIA gives them."""
UTILIZATION = 0.35
"""The share of it that trainings of this kind reach; from others' reports (30 to 45 %)."""


def operations(spec: TrainingSpec, shape: ModelShape, device: Device = "cuda") -> int:
    """Floating-point operations for a token of an example of `max_length` that is all learned.

    2 for each number of a linear map forward, and 2 backward, as frozen weights need no gradient of their own (Kaplan
    et al. 2020 count 6 where they do), but adapters 4. Gradient checkpointing computes a layer forward again, except
    that PyTorch stops before the last map if no adapter needs its output. Backward, TRL computes the head again, and
    attention's kernels 5 products where forward has 2 (Dao et al. 2022), which see half of the example on average.
    DPO scores each answer with the base model as well. PyTorch counts the same to 1 % (`tests/trainer/test_speed.py`).
    """
    again = 2 if device == "cuda" else 0
    adapted = adapted_maps(spec, shape)
    sizes = {name: inputs * outputs * shape.layers for name, (inputs, outputs) in shape.linear.items()}
    maps, head = sum(sizes.values()), shape.hidden_size * shape.vocabulary
    repeated = maps if "down_proj" in adapted else maps - sizes["down_proj"]
    length = min(spec.max_length, shape.context or spec.max_length)
    attention = shape.layers * shape.attention_heads * shape.head_size * length
    adapter = spec.rank * shape.layers * sum(map(sum, adapted.values()))
    reference = 2 * (maps + head + attention) if spec.method == "dpo" else 0
    return 4 * maps + again * repeated + 6 * head + (7 + again) * attention + (6 + again) * adapter + reference


def tokens_per_second(spec: TrainingSpec, shape: ModelShape, gpu_type: str) -> float | None:
    """What one GPU of a type trains; None for types whose speed is not known."""
    family = next((name for name in sorted(PEAK, key=len, reverse=True) if gpu_type.upper().startswith(name)), None)
    return PEAK[family] * TERA * UTILIZATION / operations(spec, shape) if family else None
