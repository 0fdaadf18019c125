import pytest

from brightrun.api.pricing.prices import PRESETS, missing, resolve
from brightrun.contracts.training import TrainingSpec

ORIGINAL = {
    "fast": (0.0001, 8, 1, 8, 16, 0.05),
    "balanced": (0.00005, 4, 3, 16, 32, 0.1),
    "quality": (0.00003, 2, 5, 32, 64, 0.1),
}


@pytest.mark.parametrize("preset", ORIGINAL)
def test_a_preset_completes_a_spec_with_the_originals_values(preset):
    spec = resolve(preset, TrainingSpec())

    resolved = (spec.learning_rate, spec.batch_size, spec.epochs, spec.rank, spec.alpha, spec.dropout)
    assert resolved == ORIGINAL[preset]


def test_there_are_three_presets_to_choose_from():
    assert [preset.id for preset in PRESETS] == list(ORIGINAL)


def test_submitted_values_are_kept():
    spec = resolve("fast", TrainingSpec(learning_rate=0.0005, dropout=0.0, seed=7))

    assert (spec.learning_rate, spec.dropout, spec.seed, spec.batch_size) == (0.0005, 0.0, 7, 8)


def test_given_steps_replace_the_presets_epochs():
    spec = resolve("quality", TrainingSpec(max_steps=50))

    assert (spec.max_steps, spec.epochs) == (50, None)


def test_alpha_follows_a_given_rank():
    assert resolve("fast", TrainingSpec(rank=64)).alpha == 128
    assert resolve("fast", TrainingSpec(rank=64, alpha=16)).alpha == 16


def test_custom_names_everything_that_is_missing():
    assert missing("custom", TrainingSpec()) == ["learning_rate", "batch_size", "rank", "epochs"]
    assert missing("custom", TrainingSpec(learning_rate=1e-4, batch_size=4, rank=8, max_steps=9)) == []
    assert missing("fast", TrainingSpec()) == []


def test_the_resolved_specification_leaves_nothing_open():
    spec = resolve("custom", TrainingSpec(learning_rate=1e-4, batch_size=4, rank=8, epochs=2))

    assert (spec.alpha, spec.epochs, spec.warmup_ratio) == (16, 2, 0.03)
