"""What the trainer decides before and beside the training, asked of its own Python in one go."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.runs import Trainer

PROBES = Path(__file__).with_name("probes.py")


@pytest.fixture(scope="session")
def told(trainer: Trainer) -> dict[str, Any]:
    printed = trainer.call(str(PROBES))
    assert printed.returncode == 0, printed.stderr
    answer: dict[str, Any] = json.loads(printed.stdout.splitlines()[-1])
    return answer


def test_packing_is_for_models_that_keep_examples_apart(told: dict[str, Any]) -> None:
    assert told["packing"] == {"tiny": True, "bloom": False}


def test_a_cpu_trains_in_full_precision_without_gradient_checkpointing(told: dict[str, Any]) -> None:
    assert told["numbers"]["single"] == [False, False, True, False]


def test_only_what_is_trained_is_widened(told: dict[str, Any]) -> None:
    assert told["numbers"]["trained"] == "torch.float32"
    assert told["numbers"]["frozen"] == "torch.bfloat16"


def test_more_gpus_take_fewer_steps(told: dict[str, Any]) -> None:
    assert told["numbers"]["steps"] == [75, 21]


def test_beta_is_passed_on_with_its_default(told: dict[str, Any]) -> None:
    assert told["numbers"]["beta"] == 0.1


def test_schedules_warm_up_as_asked(told: dict[str, Any]) -> None:
    linear, constant, warmed, whole = told["schedules"]
    assert linear == ["linear", 0.03]
    assert constant == ["constant", 0]
    assert warmed == ["constant_with_warmup", 5]
    assert 0.99 < whole[1] < 1


def test_a_named_template_replaces_the_model_s(told: dict[str, Any]) -> None:
    """The template that is served renders what was trained; one whose tokens the model lacks is refused."""
    assert told["templates"]["plain"] == ["Good day<|end|>", True]
    assert told["templates"]["phi3"][0].startswith("Good day<|end|>")
    assert told["templates"]["chatml"] == "chat_template_unfit"


def test_errors_of_the_machine_have_codes(told: dict[str, Any]) -> None:
    assert told["causes"] == {
        "cuda_oom": "out_of_memory",
        "cpu_oom": "out_of_memory",
        "disk": "disk_full",
        "gpu": "gpu_error",
        "unforeseen": "trainer_error",
    }


def test_what_is_not_learned_is_not_scored(told: dict[str, Any]) -> None:
    assert told["scored"] == 3


def test_the_gpus_utilization_is_their_mean_or_nothing(told: dict[str, Any]) -> None:
    mean, silent, asked = told["utilization"]
    assert mean == 50
    assert silent == [None, None, None]
    assert asked == 1
