"""The memory estimate against figures worked out by hand."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brightrun.api.price_table import ModelShape
from brightrun.api.rules.memory import GIB, needed, verdict
from brightrun.contracts.training import TrainingSpec

LLAMA_8B = ModelShape(
    parameters=8_030_261_248,
    layers=32,
    hidden_size=4096,
    intermediate_size=14_336,
    vocabulary=128_256,
    attention_heads=32,
    kv_heads=8,
    head_size=128,
)


def spec(**changes) -> TrainingSpec:
    return TrainingSpec(**{"rank": 16, "batch_size": 4, "max_length": 1024} | changes)


def test_llama_3_8b_as_counted_by_hand():
    memory = needed(spec(), LLAMA_8B)

    assert memory.weights == 16_060_522_496
    # PEFT says of Llama 3 8B with rank 16 on all linear layers: trainable params: 41,943,040
    assert memory.adapter == 41_943_040 * 16
    # 4096 tokens · (2 · 4096 · 32 layers + 18 · 4096 + 8 · 14336)
    assert memory.activations == 4096 * (262_144 + 73_728 + 114_688)
    assert memory.logits == 4096 * 128_256 * 12
    # (16.061 + 0.671 + 1.845 + 6.304) GB · 1.1 + 1 GiB
    assert round(memory.total / GIB, 1) == 26.5


def test_only_targeted_layers_carry_an_adapter():
    # q_proj and v_proj of rank 8: 32 layers · 8 · (4096 + 4096 + 4096 + 1024)
    memory = needed(spec(rank=8, target_modules=("q_proj", "v_proj", "unheard_of")), LLAMA_8B)

    assert memory.adapter == 3_407_872 * 16


def test_nf4_quantizes_the_linear_layers_only():
    # 6 979 321 856 weights in linear layers · 0.516, the rest in halves
    memory = needed(spec(quantization="nf4"), LLAMA_8B)

    assert memory.weights == round(6_979_321_856 * 0.516) + 2 * (8_030_261_248 - 6_979_321_856)


@pytest.mark.parametrize(
    ("gib", "told"),
    [("80", "fits"), ("27", "fits"), ("26", "does_not_fit"), ("16", "does_not_fit"), (None, "unknown")],
)
def test_a_verdict_needs_a_gpu_of_known_size(gib, told):
    assert verdict(needed(spec(), LLAMA_8B), gib and Decimal(gib)) == told


def test_a_base_model_of_unknown_shape_has_no_verdict():
    assert verdict(None, Decimal(80)) == "unknown"


@given(st.integers(4, 127), st.integers(1, 63), st.integers(16, 10**6))
def test_more_of_anything_needs_more(rank, batch, length):
    total = needed(spec(rank=rank, batch_size=batch, max_length=length), LLAMA_8B).total

    assert needed(spec(rank=rank + 1, batch_size=batch, max_length=length), LLAMA_8B).total > total
    assert needed(spec(rank=rank, batch_size=batch + 1, max_length=length), LLAMA_8B).total > total
    assert needed(spec(rank=rank, batch_size=batch, max_length=length + 1), LLAMA_8B).total > total
