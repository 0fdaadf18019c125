"""What PEFT and vLLM load: foreseen from a spec, checked on the files."""

from typing import Any

import pytest

from brightrun.contracts.serving import Adapter, Serving, check_servability, evaluate, inspect
from brightrun.contracts.training import TrainingSpec

BASE = "meta-llama/Llama-3.2-1B-Instruct"
CONFIG: dict[str, Any] = {
    "peft_type": "LORA",
    "r": 16,
    "lora_alpha": 32,
    "target_modules": ["q_proj", "v_proj"],
    "bias": "none",
    "modules_to_save": None,
    "use_dora": False,
    "base_model_name_or_path": BASE,
}
MODULE = "base_model.model.model.layers.0.self_attn.q_proj"
TENSORS = {f"{MODULE}.lora_A.weight": (16, 128), f"{MODULE}.lora_B.weight": (128, 16)}


def codes(serving: Serving) -> set[str]:
    return {finding.code for finding in serving.findings}


def test_a_plain_adapter_is_served_by_both():
    assert inspect(CONFIG, TENSORS) == Serving(peft=True, vllm=True)


@pytest.mark.parametrize(
    ("rank", "options"),
    [
        (4, ()),
        (16, ()),
        (17, ("--max-lora-rank", "32")),
        (64, ("--max-lora-rank", "64")),
        (100, ("--max-lora-rank", "128")),
        (300, ("--max-lora-rank", "320")),
    ],
)
def test_vllm_options_have_the_next_supported_rank(rank: int, options: tuple[str, ...]):
    serving = evaluate(Adapter(rank=rank, base_model=BASE))
    assert (serving.vllm, serving.vllm_options) == (True, options)
    assert codes(serving) == ({"vllm_rank_option"} if options else set())


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"r": 513}, "vllm_rank"),
        ({"modules_to_save": ["lm_head"]}, "vllm_modules_to_save"),
        ({"bias": "lora_only"}, "vllm_bias"),
        ({"use_dora": True}, "vllm_dora"),
        ({"rank_pattern": {"q_proj": 4}}, "vllm_pattern"),
        ({"alpha_pattern": {"q_proj": 4}}, "vllm_pattern"),
    ],
)
def test_what_vllm_does_not_load_is_refused_for_it_alone(change: dict[str, Any], code: str):
    rank = change.get("r", 16)
    shapes = {name: tuple(rank if size == 16 else size for size in shape) for name, shape in TENSORS.items()}
    serving = inspect(CONFIG | change, shapes)
    assert (serving.peft, serving.vllm, serving.vllm_options) == (True, False, ())
    assert codes(serving) == {code}


@pytest.mark.parametrize(
    ("config", "tensors", "code"),
    [
        ({"peft_type": "IA3"}, TENSORS, "peft_type"),
        ({}, {}, "no_lora_tensors"),
        ({}, {f"{MODULE}.lora_A.weight": (16, 128)}, "unpaired_tensors"),
        ({"r": 8}, TENSORS, "tensor_shapes"),
        ({}, {**TENSORS, f"{MODULE}.lora_B.weight": (128, 8)}, "tensor_shapes"),
    ],
)
def test_broken_files_cannot_be_served(config: dict[str, Any], tensors: dict[str, tuple[int, ...]], code: str):
    serving = inspect(CONFIG | config, tensors)
    assert (serving.peft, serving.vllm) == (False, False)
    assert codes(serving) == {code}


def test_weights_that_are_not_lora_are_noticed():
    serving = inspect(CONFIG, {**TENSORS, "base_model.model.lm_head.weight": (600, 128)})
    assert (serving.peft, serving.vllm, codes(serving)) == (True, False, {"other_tensors"})


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (TrainingSpec(base_model=BASE), set()),
        (TrainingSpec(base_model="tiny"), {"base_model_local"}),
        (TrainingSpec(base_model=BASE, rank=32), {"vllm_rank_option"}),
        (TrainingSpec(base_model=BASE, quantization="nf4"), {"quantized_base"}),
        (TrainingSpec(base_model=BASE, target_modules=("q_proj", "lm_head")), {"vllm_embeddings"}),
        (TrainingSpec(base_model=BASE, target_modules=("q_proj", "to_k")), {"vllm_unknown_modules"}),
    ],
)
def test_a_spec_tells_what_will_have_to_be_seen_to(spec: TrainingSpec, expected: set[str]):
    serving = check_servability(spec)
    assert (serving.peft, serving.vllm, codes(serving)) == (True, True, expected)
