"""Whether a training fits, and what is said if it does not."""

from decimal import Decimal

import pytest

from brightrun.api.pricing.feasibility import evaluate_memory
from brightrun.api.pricing.models import GpuPrice
from brightrun.contracts.shapes import KNOWN
from brightrun.contracts.training import TrainingSpec

LLAMA_8B = KNOWN["meta-llama/Llama-3.1-8B-Instruct"]
SPEC = TrainingSpec(batch_size=4, max_length=1024, dropout=0)


def gpu(gib: str | None, kind: str = "A100") -> GpuPrice:
    return GpuPrice(type=kind, price_per_hour=1, tokens_per_second=1, memory_gib=gib and Decimal(gib))


@pytest.mark.parametrize(
    ("gib", "verdict"),
    [("80", "fits"), ("21", "fits"), ("20", "does_not_fit"), ("16", "does_not_fit"), (None, "unknown")],
)
def test_a_verdict_needs_a_gpu_of_known_size(gib, verdict):
    judgement = evaluate_memory(SPEC, LLAMA_8B, gpu(gib))

    assert judgement.verdict == verdict
    assert (judgement.advice is not None) == (verdict == "does_not_fit")


def test_a_base_model_of_unknown_shape_has_no_verdict():
    assert evaluate_memory(SPEC, None, gpu("80")).verdict == "unknown"
    assert evaluate_memory(SPEC, None, gpu("80")).needed is None


def test_a_cpu_is_judged_as_one():
    on_cpu, on_gpu = evaluate_memory(SPEC, LLAMA_8B, gpu("64", "CPU")), evaluate_memory(SPEC, LLAMA_8B, gpu("64"))

    assert (on_cpu.verdict, on_gpu.verdict) == ("does_not_fit", "fits")
