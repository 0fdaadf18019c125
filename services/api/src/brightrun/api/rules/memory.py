"""Whether a training fits into the GPUs that there are, and what to change if it does not."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from brightrun.api.price_table import GpuPrice
from brightrun.contracts.memory import GIB, advise, device_of, needed
from brightrun.contracts.shapes import ModelShape
from brightrun.contracts.training import TrainingSpec

Verdict = Literal["fits", "does_not_fit", "unknown"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one GPU of a type needs (bytes), and whether it has that; `advice` says what to change if it has not."""

    gpu: GpuPrice
    needed: int | None
    verdict: Verdict
    advice: str | None = None


def judge(spec: TrainingSpec, shape: ModelShape | None, gpu: GpuPrice) -> Judgement:
    """The training on GPUs of a type; unknown where the model's shape is, or the GPU's memory."""
    if shape is None:
        return Judgement(gpu, None, "unknown")
    device = device_of(gpu.type)
    total = needed(spec, shape, device).total
    if gpu.memory_gib is None:
        return Judgement(gpu, total, "unknown")
    available = int(gpu.memory_gib * GIB)
    if total <= available:
        return Judgement(gpu, total, "fits")
    return Judgement(gpu, total, "does_not_fit", advise(spec, shape, available, device))


def in_gib(size: int) -> Decimal:
    """Bytes as GiB."""
    return Decimal(size) / GIB
