"""What a spec may say at all, and what it means when it says nothing."""

from typing import Any

import pytest
from pydantic import ValidationError

from brightrun.contracts.training import TrainingSpec


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"method": "dpo", "packing": True}, "packing goes with method sft"),
        ({"beta": 0.2}, "beta goes with method dpo"),
        ({"epochs": 1, "max_steps": 1}, "epochs or max_steps"),
        ({"method": "dpo", "beta": 0}, "beta"),
        ({"chat_template": "unheard_of"}, "chat_template"),
    ],
)
def test_what_contradicts_itself_is_refused(spec: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        TrainingSpec(**spec)


def test_beta_belongs_to_dpo_alone() -> None:
    assert TrainingSpec(method="dpo").resolved().beta == 0.1
    assert TrainingSpec(method="dpo", beta=0.5).resolved().beta == 0.5
    assert TrainingSpec().resolved().beta is None


def test_a_constant_rate_warms_up_only_if_requested() -> None:
    assert TrainingSpec(scheduler="constant").resolved().warmup_ratio == 0
    assert TrainingSpec(scheduler="constant", warmup_steps=5).resolved().warmup_steps == 5
    assert TrainingSpec().resolved().warmup_ratio == 0.03


def test_a_resolved_spec_can_be_resolved_again() -> None:
    for method in ("sft", "dpo"):
        resolved = TrainingSpec(method=method).resolved()
        assert TrainingSpec.model_validate_json(resolved.model_dump_json()).resolved() == resolved
