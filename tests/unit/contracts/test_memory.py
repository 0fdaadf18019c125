"""The memory estimate by hand, and the advice that follows from it. `tests/trainer/test_memory.py` measures."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brightrun.contracts.memory import GIB, advise, device_of, needed
from brightrun.contracts.shapes import KNOWN, ModelShape
from brightrun.contracts.training import TrainingSpec

LLAMA_8B = KNOWN["meta-llama/Llama-3.1-8B-Instruct"]
SMALL = KNOWN["HuggingFaceTB/SmolLM2-135M-Instruct"]


def spec(**changes) -> TrainingSpec:
    return TrainingSpec(**{"rank": 16, "batch_size": 4, "max_length": 1024, "dropout": 0} | changes)


def test_llama_3_8b_as_counted_by_hand():
    memory = needed(spec(), LLAMA_8B)

    assert memory.weights == 16_060_522_496
    # PEFT says of Llama 3 8B with rank 16 on all linear layers: trainable params: 41,943,040
    assert memory.adapter == 41_943_040 * 18
    # 4096 tokens · (2 · 4096 · 32 layers + 6 · 4096 + 10 · 128 + 3 · 1024)
    assert memory.activations == 4096 * (262_144 + 24_576 + 1280 + 3072)
    # 12 · 4096 + 9 · 4096 + 10 · 14336, inputs 2 · (6 · 4096 + 14336) + 2 · 14336, and 8 · 16 · 7
    assert memory.layer == 4096 * (229_376 + 77_824 + 28_672 + 896)
    # (16.061 + 0.755 + 1.192 + 1.379) GB · 1.1 + 1 GiB
    assert round(memory.total / GIB, 1) == 20.9


def test_only_targeted_maps_carry_an_adapter():
    # q_proj and v_proj of rank 8: 32 layers · 8 · (4096 + 4096 + 4096 + 1024)
    memory = needed(spec(rank=8, target_modules=("q_proj", "v_proj", "unheard_of")), LLAMA_8B)

    assert memory.adapter == 3_407_872 * 18
    assert memory.layer < needed(spec(rank=8), LLAMA_8B).layer


def test_nf4_quantizes_the_linear_maps_and_unfolds_one_at_a_time():
    plain, memory = needed(spec(), LLAMA_8B), needed(spec(quantization="nf4"), LLAMA_8B)

    # 6 979 321 856 weights in linear maps · 0.516, the rest in halves; the largest map has 4096 · 14336
    assert memory.weights == round(6_979_321_856 * 0.516) + 2 * (8_030_261_248 - 6_979_321_856)
    assert memory.layer == plain.layer + 2 * 4096 * 14_336


def test_preferences_are_two_answers_each():
    assert needed(spec(method="dpo", batch_size=2), LLAMA_8B).activations == needed(spec(), LLAMA_8B).activations


def test_examples_are_never_longer_than_the_model_takes():
    assert needed(spec(max_length=100_000), SMALL) == needed(spec(max_length=8192), SMALL)


def test_a_cpu_has_single_precision_and_keeps_every_layer():
    memory = needed(spec(), SMALL, "cpu")

    assert memory.weights == 4 * SMALL.parameters
    assert memory.activations > 5 * needed(spec(), SMALL).activations


@pytest.mark.parametrize(("gpu", "device"), [("CPU", "cpu"), ("CPU-16", "cpu"), ("A100-80GB", "cuda")])
def test_the_name_of_a_gpu_type_tells_whether_it_is_one(gpu, device):
    assert device_of(gpu) == device


@given(st.integers(4, 127), st.integers(1, 63), st.integers(16, 10**5), st.sampled_from(["cuda", "cpu"]))
def test_more_of_anything_needs_more(rank, batch, length, device):
    total = needed(spec(rank=rank, batch_size=batch, max_length=length), LLAMA_8B, device).total

    assert needed(spec(rank=rank + 1, batch_size=batch, max_length=length), LLAMA_8B, device).total > total
    assert needed(spec(rank=rank, batch_size=batch + 1, max_length=length), LLAMA_8B, device).total > total
    assert needed(spec(rank=rank, batch_size=batch, max_length=length + 1), LLAMA_8B, device).total > total
    assert needed(spec(rank=rank, batch_size=batch, max_length=length, dropout=0.1), LLAMA_8B, device).total > total


def test_the_advice_is_the_largest_batch_that_fits_and_trains_the_same():
    advice = advise(spec(batch_size=16, gradient_accumulation=2), LLAMA_8B, 24 * GIB)

    assert advice == (
        "Batch 16 needs about 29 GiB, the GPU has 24: try 8, with gradient_accumulation 4 to train the same."
    )
    assert needed(spec(batch_size=8), LLAMA_8B).total <= 24 * GIB


def test_a_training_that_fits_gets_advice_that_says_so():
    advice = advise(spec(), LLAMA_8B, 80 * GIB)

    assert advice.startswith("Batch 4 needs about 21 GiB, the GPU has 80: see what else uses it")


def test_where_no_batch_fits_examples_become_shorter_then_weights_then_the_gpu_larger():
    assert "max_length 2048." in advise(spec(max_length=8192), LLAMA_8B, 20 * GIB)
    assert "try quantization nf4 and batch 1." in advise(spec(), LLAMA_8B, 10 * GIB)
    assert "a larger GPU" in advise(spec(quantization="nf4"), LLAMA_8B, 4 * GIB)
    assert "there are 2.0" in advise(spec(batch_size=8), SMALL, 2 * GIB, "cpu")
    assert "nf4" not in advise(spec(), LLAMA_8B, 10 * GIB, "cpu")


@given(
    st.integers(1, 64), st.integers(1, 8), st.integers(128, 8192), st.floats(2, 80), st.sampled_from(["cuda", "cpu"])
)
def test_what_is_advised_fits(batch, accumulation, length, gib, device):
    requested = spec(batch_size=batch, gradient_accumulation=accumulation, max_length=length)
    advice = advise(requested, SMALL, int(gib * GIB), device)

    if "to train the same" not in advice:
        return
    size, steps = (int(advice.partition(word)[2].split()[0].strip(",")) for word in ("try ", "gradient_accumulation "))
    smaller = requested.model_copy(update={"batch_size": size})
    assert needed(smaller, SMALL, device).total <= gib * GIB
    assert size < batch
    assert size * steps <= batch * accumulation


def test_known_shapes_have_as_many_parameters_as_their_configurations_make():
    def made(shape: ModelShape, embeddings: int) -> float:
        layer = sum(inputs * outputs for inputs, outputs in shape.linear.values()) + 2 * shape.hidden_size
        return shape.layers * layer + embeddings * shape.vocabulary * shape.hidden_size

    for name, shape in KNOWN.items():
        assert any(shape.parameters == pytest.approx(made(shape, tables), rel=0.001) for tables in (1, 2)), name
