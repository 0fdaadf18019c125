"""Presets (FR-3.3): hyperparameters that suit a purpose."""

from dataclasses import dataclass
from typing import Any

from brightrun.api.models import Order, PresetId
from brightrun.contracts.training import TrainingSpec


@dataclass(frozen=True, slots=True)
class Preset:
    """A named choice of hyperparameters."""

    id: PresetId
    name: str
    description: str
    details: str
    hyperparameters: dict[str, Any]


PRESETS = (
    Preset(
        "fast",
        "Fast",
        "Quick training for testing and iteration",
        "Optimized for speed, suitable for testing",
        {"learning_rate": 0.0001, "batch_size": 8, "epochs": 1, "rank": 8, "alpha": 16, "dropout": 0.05},
    ),
    Preset(
        "balanced",
        "Balanced",
        "Recommended balance of quality and cost",
        "Best for most use cases",
        {"learning_rate": 0.00005, "batch_size": 4, "epochs": 3, "rank": 16, "alpha": 32, "dropout": 0.1},
    ),
    Preset(
        "quality",
        "Quality",
        "Maximum quality for production models",
        "Slower and more expensive, but best results",
        {"learning_rate": 0.00003, "batch_size": 2, "epochs": 5, "rank": 32, "alpha": 64, "dropout": 0.1},
    ),
)

_HYPERPARAMETERS = {preset.id: preset.hyperparameters for preset in PRESETS}
MAX_EPOCHS = 20
"""On `/api`, as in the original; the OpenAI face takes as many as OpenAI does."""
_NEEDED_BY_CUSTOM = ("learning_rate", "batch_size", "rank")


def problems(order: Order) -> dict[str, list[str]]:
    """What is wrong with the hyperparameters of an order, by their paths: what is missing, what is too much."""
    submitted = order.hyperparameters
    found = {name: ["Field required by the preset custom"] for name in missing(order.preset_id, submitted)}
    if order.face == "api" and (submitted.epochs or 0) > MAX_EPOCHS:
        found["epochs"] = [f"Input should be less than or equal to {MAX_EPOCHS}"]
    return {f"hyperparameters.{name}": sentences for name, sentences in found.items()}


def missing(preset_id: PresetId, submitted: TrainingSpec) -> list[str]:
    """The hyperparameters that must be given and are not; only `custom` needs any."""
    if preset_id != "custom":
        return []
    given = submitted.model_dump(exclude_unset=True, exclude_none=True)
    needed = [name for name in _NEEDED_BY_CUSTOM if name not in given]
    return needed if {"epochs", "max_steps"} & given.keys() else [*needed, "epochs"]


def resolve(preset_id: PresetId, submitted: TrainingSpec) -> TrainingSpec:
    """The whole spec: what was submitted, then the preset, then the defaults.

    A preset's value yields to a submitted one that it would contradict: `epochs` to `max_steps`, `alpha` to a `rank`
    that is not the preset's.
    """
    given = submitted.model_dump(exclude_unset=True, exclude_none=True)
    filling = dict(_HYPERPARAMETERS.get(preset_id, {}))
    if "max_steps" in given:
        filling.pop("epochs", None)
    if "rank" in given:
        filling.pop("alpha", None)
    return TrainingSpec.model_validate(filling | given).resolved()
