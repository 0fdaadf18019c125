"""What the trainer decides before and beside the training, computed by its own Python in one process."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.runs import Trainer

pytestmark = pytest.mark.xdist_group("trainer")

PROBES = Path(__file__).with_name("probes.py")


@pytest.fixture(scope="session")
def decisions(trainer: Trainer) -> dict[str, Any]:
    called = trainer.call(str(PROBES))
    assert called.returncode == 0, called.stderr
    results: dict[str, Any] = json.loads(called.stdout.splitlines()[-1])
    return results


def test_packing_needs_a_model_that_keeps_examples_apart(decisions: dict[str, Any]) -> None:
    assert decisions["packing"] == {"tiny": True, "bloom": False}


def test_a_cpu_trains_in_full_precision_without_gradient_checkpointing(decisions: dict[str, Any]) -> None:
    assert decisions["numbers"]["single"] == [False, False, True, False]


def test_only_trained_parameters_are_widened(decisions: dict[str, Any]) -> None:
    assert decisions["numbers"]["trained"] == "torch.float32"
    assert decisions["numbers"]["frozen"] == "torch.bfloat16"


def test_more_gpus_take_fewer_steps(decisions: dict[str, Any]) -> None:
    assert decisions["numbers"]["steps"] == [75, 21]


def test_beta_has_a_default(decisions: dict[str, Any]) -> None:
    assert decisions["numbers"]["beta"] == 0.1


def test_schedules_warm_up_as_the_spec_says(decisions: dict[str, Any]) -> None:
    linear, constant, warmed, whole, single = decisions["schedules"]
    assert linear == ["linear", 0.03]
    assert constant == ["constant", 0]
    assert warmed == ["constant_with_warmup", 5]
    assert 0.99 < whole[1] < 1
    assert single == ["linear", 0], "the only step would have a learning rate of 0"


def test_a_named_template_replaces_that_of_the_model(decisions: dict[str, Any]) -> None:
    """The template that is served renders what was trained; one whose tokens the model lacks is rejected."""
    assert decisions["templates"]["plain"] == ["Good day<|end|>", True]
    assert decisions["templates"]["phi3"][0].startswith("Good day<|end|>")
    assert decisions["templates"]["chatml"] == "chat_template_unfit"


def test_errors_of_the_machine_have_codes(decisions: dict[str, Any]) -> None:
    assert decisions["causes"] == {
        "cuda_oom": "out_of_memory",
        "cpu_oom": "out_of_memory",
        "disk": "disk_full",
        "gpu": "gpu_error",
        "unknown": "trainer_error",
    }


def test_only_learned_tokens_are_scored(decisions: dict[str, Any]) -> None:
    assert decisions["scored"] == 3


def test_gpu_utilization_is_the_mean_or_none(decisions: dict[str, Any]) -> None:
    mean, failing, calls = decisions["utilization"]
    assert mean == 50
    assert failing == [None, None, None]
    assert calls == 1
