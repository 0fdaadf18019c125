"""How long a LoRA training computes, from the size of its base model; a rule of thumb, not measured on any GPU here."""

from brightrun.contracts.memory import Device
from brightrun.contracts.shapes import ModelShape
from brightrun.contracts.training import TrainingSpec

TERA = 10**12
PEAK = {"A100": 312, "H100": 989, "H200": 989, "L40S": 362, "L4": 121, "V100": 125, "T4": 65}
"""Dense half-precision teraFLOP a second of one GPU, by the beginning of its type's name, as NVIDIA gives them."""
UTILIZATION = 0.35
"""The share of it that trainings of this kind reach; from others' reports (30 to 45 %)."""


def operations(spec: TrainingSpec, shape: ModelShape, device: Device = "cuda") -> int:
    """Floating-point operations for a token of an example of `max_length`.

    2 for each number of a linear map forward, and 2 backward, as frozen weights need no gradient of their own (Kaplan
    et al. 2020 count 6 where they do); 2 more where gradient checkpointing computes the layer again. An adapter's own
    numbers count in full. DPO scores each answer with the base model as well.
    """
    again = 2 if device == "cuda" else 0
    maps = sum(inputs * outputs for inputs, outputs in shape.linear.values()) * shape.layers
    head = shape.hidden_size * shape.vocabulary
    length = min(spec.max_length, shape.context or spec.max_length)
    attention = 2 * shape.layers * shape.attention_heads * shape.head_size * length // 2
    adapter = spec.rank * shape.layers * sum(inputs + outputs for inputs, outputs in shape.linear.values())
    forward = 2 * (maps + head + attention)
    return (4 + again) * (maps + head + attention) + 6 * adapter + (forward if spec.method == "dpo" else 0)


def tokens_per_second(spec: TrainingSpec, shape: ModelShape, gpu_type: str) -> float | None:
    """What one GPU of a type trains; None for types whose speed is not known."""
    family = next((name for name in sorted(PEAK, key=len, reverse=True) if gpu_type.upper().startswith(name)), None)
    return PEAK[family] * TERA * UTILIZATION / operations(spec, shape) if family else None
