"""The rule of thumb for how long a model of a size takes."""

import pytest

from brightrun.contracts.shapes import KNOWN
from brightrun.contracts.speed import operations, tokens_per_second
from brightrun.contracts.training import TrainingSpec

LLAMA_8B = KNOWN["meta-llama/Llama-3.1-8B-Instruct"]
SPEC = TrainingSpec(max_length=1024)


def test_llama_3_8b_as_counted_by_hand():
    # 6 979 321 856 in the maps, 525 336 576 in the head, 32 · 4096 · 1024 of attention; then the adapter
    assert operations(SPEC, LLAMA_8B) == 6 * (6_979_321_856 + 525_336_576) + 9 * 134_217_728 + 8 * 41_943_040
    # 312 teraFLOP/s · 0.35 / 46.6 GFLOP
    assert tokens_per_second(SPEC, LLAMA_8B, "A100-80GB") == pytest.approx(2345, rel=0.001)


def test_fewer_adapters_compute_less_and_the_last_map_only_once_where_it_has_none():
    queries = SPEC.model_copy(update={"target_modules": ("q_proj",)})
    others = 16 * 32 * (2 * (4096 + 1024) + (4096 + 4096) + 3 * (4096 + 14_336))

    assert operations(SPEC, LLAMA_8B, "cpu") - operations(queries, LLAMA_8B, "cpu") == 6 * others
    assert operations(SPEC, LLAMA_8B) - operations(queries, LLAMA_8B) == 8 * others + 2 * 32 * 4096 * 14_336


def test_checkpointing_and_preferences_compute_more():
    assert operations(SPEC, LLAMA_8B, "cpu") < operations(SPEC, LLAMA_8B)
    assert operations(SPEC.model_copy(update={"method": "dpo"}), LLAMA_8B) > operations(SPEC, LLAMA_8B)


def test_a_larger_model_is_slower_and_a_larger_gpu_faster():
    small = KNOWN["Qwen/Qwen2.5-0.5B-Instruct"]
    speeds = [tokens_per_second(SPEC, shape, gpu) for shape in (small, LLAMA_8B) for gpu in ("H100", "L4", "V100-32GB")]

    assert speeds[0] > speeds[2] > speeds[1]
    assert speeds[0] > 9 * speeds[3]


@pytest.mark.parametrize("gpu", ["CPU", "MI300X", "abacus"])
def test_the_speed_of_other_types_is_not_known(gpu):
    assert tokens_per_second(SPEC, LLAMA_8B, gpu) is None
