import pytest

from brightrun.api.jobs.rules import merge


@pytest.mark.parametrize(
    ("submitted", "changes", "merged"),
    [
        ({"rank": 8, "seed": 1}, {"rank": 16}, {"rank": 16, "seed": 1}),
        ({"max_steps": 50}, {"epochs": 2}, {"epochs": 2}),
        ({"epochs": 2}, {"max_steps": 50}, {"max_steps": 50}),
        ({"epochs": 2}, {"max_steps": None}, {"epochs": 2}),
        ({"epochs": 2, "seed": 1}, {"epochs": None}, {"seed": 1}),
        ({"warmup_ratio": 0.1}, {"warmup_steps": 0}, {"warmup_steps": 0}),
        ({"validation_split": 0.1}, {"validation_dataset_id": "x"}, {"validation_dataset_id": "x"}),
        ({}, {}, {}),
    ],
)
def test_changes_take_the_place_of_what_they_exclude(submitted, changes, merged):
    assert merge(submitted, changes) == merged
