"""Contracts only grow: what was readable stays readable."""

import json
from copy import deepcopy
from typing import Any

import pytest

from brightrun.contracts.events import CATALOGUE, EVENTS
from tests.contracts.compatibility import breaking_changes
from tests.contracts.golden import FOLDER, golden, models, schema_of

GOLDEN = golden("golden")


def test_every_model_has_a_golden_schema_and_none_is_left_over() -> None:
    assert models().keys() == GOLDEN.keys(), "run `python -m tests.contracts.golden` and commit what it writes"


@pytest.mark.parametrize("name", GOLDEN)
def test_a_model_changes_only_by_additions(name: str) -> None:
    assert breaking_changes(GOLDEN[name], schema_of(models()[name])) == []


@pytest.mark.parametrize("name", GOLDEN)
def test_the_golden_schema_is_the_newest(name: str) -> None:
    assert GOLDEN[name] == json.loads(json.dumps(schema_of(models()[name]))), "run `python -m tests.contracts.golden`"


@pytest.mark.parametrize("topic", EVENTS)
def test_an_old_sample_is_still_read_as_it_was_meant(topic: str) -> None:
    sample = json.loads((FOLDER / "samples" / f"{topic}.json").read_text())
    read = EVENTS[topic].event.model_validate(sample).model_dump(mode="json")
    assert _known_to(sample, read) == sample


def _known_to(sample: Any, read: Any) -> Any:
    """What was read, without the fields that the sample's writer did not know."""
    if isinstance(sample, dict):
        return {name: _known_to(value, read[name]) for name, value in sample.items()}
    if isinstance(sample, list):
        return [_known_to(*pair) for pair in zip(sample, read, strict=True)]
    return read


def test_a_reader_ignores_a_field_that_it_does_not_know() -> None:
    for topic in CATALOGUE:
        sample = json.loads((FOLDER / "samples" / f"{topic.name}.json").read_text())
        topic.event.model_validate(sample | {"of_tomorrow": True})


def _mutated(**change: Any) -> dict[str, Any]:
    schema = deepcopy(GOLDEN["job.started"])
    for key, value in change.items():
        schema[key] = value(schema[key])
    return schema


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        (_mutated(properties=lambda old: {k: v for k, v in old.items() if k != "cluster"}), "removed"),
        (_mutated(properties=lambda old: old | {"attempt": {"type": "string"}}), "changed"),
        (_mutated(required=lambda old: [name for name in old if name != "user_id"]), "may be missing now"),
        (
            _mutated(properties=lambda old: old | {"extra": {"type": "string"}}, required=lambda old: [*old, "extra"]),
            "must be optional",
        ),
    ],
)
def test_a_breaking_change_is_noticed(changed: dict[str, Any], complaint: str) -> None:
    assert complaint in " ".join(breaking_changes(GOLDEN["job.started"], changed))


def test_an_optional_addition_is_welcome() -> None:
    grown = _mutated(properties=lambda old: old | {"extra": {"type": "string", "default": ""}})
    assert breaking_changes(GOLDEN["job.started"], grown) == []
