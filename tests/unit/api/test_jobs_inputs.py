"""Whether what a training is given suits it."""

from typing import Any

import pytest

from brightrun.api.datasets.models import Dataset
from brightrun.api.jobs.models import Inputs, StartingModel
from brightrun.api.jobs.rules import inherit, input_problems, other_base
from brightrun.api.pricing.prices import resolve
from brightrun.contracts.training import TrainingSpec
from brightrun.contracts.values import new_id
from tests.builders import DIGEST, adapter_ref

EARLIER = {
    "base_model": "small",
    "base_model_revision": "4f2e",
    "rank": 8,
    "alpha": 64,
    "target_modules": ("q_proj", "v_proj"),
    "rslora": True,
}


def dataset(**changes: Any) -> Dataset:
    values = {"id": new_id(), "name": "Replies", "format": "openai_chat", "status": "ready", "sha256": DIGEST}
    return Dataset(**values | {"training_pairs": 240, "tokens": 30_000} | changes)


def model(status: str = "stored", **spec: Any) -> StartingModel:
    files = adapter_ref().files if status == "stored" else ()
    return StartingModel(new_id(), new_id(), "Old harbour", status, TrainingSpec(**EARLIER | spec).resolved(), files)


@pytest.mark.parametrize("preset", ["fast", "quality", "custom"])
def test_omitted_values_come_from_the_adapter_before_the_preset(preset: Any):
    wished = inherit(TrainingSpec(init_from=new_id(), learning_rate=3e-4, dropout=0.2), model())
    spec = resolve(preset, wished)
    assert {name: getattr(spec, name) for name in EARLIER} == EARLIER
    assert (spec.learning_rate, spec.dropout) == (3e-4, 0.2)


def test_without_a_start_nothing_is_changed():
    wished = TrainingSpec(rank=32)
    assert inherit(wished, None) is wished


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({}, []),
        ({"rank": 8, "alpha": 64, "target_modules": ("q_proj", "v_proj"), "rslora": True}, []),
        ({"rank": 16, "rslora": False}, ["rank", "rslora"]),
        ({"alpha": 16, "target_modules": "all-linear"}, ["alpha", "target_modules"]),
        ({"base_model_revision": "beef"}, ["base_model_revision"]),
    ],
)
def test_what_the_adapter_has_decided_cannot_be_otherwise(given: dict[str, Any], named: list[str]):
    start = model()
    found = input_problems(inherit(TrainingSpec(init_from=start.id, **given), start), Inputs(dataset(), start=start))
    assert found.keys() == {f"hyperparameters.{name}" for name in named}
    assert all("Old harbour" in reason for reasons in found.values() for reason in reasons)


@pytest.mark.parametrize("status", ["pending", "failed"])
def test_only_a_stored_model_can_be_started_from(status: str):
    start = model(status, rank=64)
    found = input_problems(inherit(TrainingSpec(rank=8), start), Inputs(dataset(), start=start))
    assert found.keys() == {"hyperparameters.init_from"}


def test_an_adapter_belongs_to_its_base_model():
    assert other_base(TrainingSpec(base_model="small"), model()) == {}
    assert "adapter of small" in other_base(TrainingSpec(base_model="tiny"), model())["hyperparameters.base_model"][0]


@pytest.mark.parametrize(
    ("method", "training", "validation", "wrong"),
    [
        ("sft", "openai_chat", "openai_chat", 0),
        ("dpo", "dpo", "dpo", 0),
        ("dpo", "openai_chat", None, 1),
        ("sft", "dpo", None, 1),
        ("dpo", "dpo", "openai_chat", 1),
        ("dpo", "openai_chat", "openai_chat", 2),
    ],
)
def test_pairs_are_for_dpo_and_conversations_for_sft(method: Any, training: str, validation: str | None, wrong: int):
    given = Inputs(dataset(format=training), dataset(format=validation) if validation else None)
    found = input_problems(TrainingSpec(method=method), given)
    assert len(found.get("hyperparameters.method", [])) == wrong


def test_a_data_set_that_is_not_validated_has_no_problems():
    unknown = dataset(format="openai_chat", status="validating", sha256=None)
    assert input_problems(TrainingSpec(method="dpo"), Inputs(unknown)) == {}


def test_nothing_is_evaluated_on_what_it_is_trained_on():
    trained = dataset()
    found = input_problems(TrainingSpec(validation_dataset_id=trained.id), Inputs(trained, trained))
    assert found.keys() == {"hyperparameters.validation_dataset_id"}
