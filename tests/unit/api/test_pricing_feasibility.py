"""What a training cannot have, and what it is problems_found to do instead."""

import pytest

from brightrun.api.pricing.feasibility import problems
from brightrun.contracts.shapes import KNOWN
from brightrun.contracts.training import GpuConfig, TrainingSpec

TINY = KNOWN["tiny"]
CPU, H100 = GpuConfig(type="CPU"), GpuConfig(type="H100")


def found(gpu=H100, shape=TINY, examples=None, **spec) -> dict[str, list[str]]:
    return problems(TrainingSpec(**spec), gpu, shape, examples)


@pytest.mark.parametrize(
    ("changes", "field", "instead"),
    [
        ({"quantization": "nf4", "gpu": CPU}, "quantization", "use none, or another GPU type"),
        ({"target_modules": ("q_proj", "lm_head")}, "target_modules", "take it out"),
        ({"target_modules": ("q_proj", "qproj")}, "target_modules", "has no qproj: there are q_proj, k_proj"),
        ({"packing": True, "shape": TINY.model_copy(update={"model_type": "mamba"})}, "packing", "leave packing out"),
        ({"eval_steps": 5, "examples": 19}, "eval_steps", "with 19 examples: add a validation_split"),
        ({"early_stopping": {"patience": 2}, "examples": 5}, "early_stopping", "add a validation_split"),
    ],
)
def test_an_infeasible_combination_is_rejected_with_an_alternative(changes, field, instead):
    problems_found = found(**changes)

    assert problems_found.keys() == {f"hyperparameters.{field}"}
    assert instead in problems_found[f"hyperparameters.{field}"][0]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"quantization": "nf4"},
        {"packing": True},
        {"packing": True, "shape": None},
        {"target_modules": ("self_attn.q_proj", "embed_tokens")},
        {"target_modules": ("c_attn",), "shape": None},
        {"target_modules": ("c_attn",), "shape": TINY.model_copy(update={"model_type": "gpt2"})},
        {"eval_steps": 5, "examples": 20},
        {"eval_steps": 5, "examples": 5, "validation_split": 0.2},
        {"eval_steps": 5},
    ],
)
def test_what_can_be_had_is_not_refused(changes):
    assert found(**changes) == {}


def test_all_problems_are_reported_at_once():
    problems_found = found(CPU, examples=3, quantization="nf4", target_modules=("lm_head", "wide_proj"), eval_steps=1)

    assert problems_found.keys() == {
        f"hyperparameters.{name}" for name in ("quantization", "target_modules", "eval_steps")
    }
    assert len(problems_found["hyperparameters.target_modules"]) == 2
