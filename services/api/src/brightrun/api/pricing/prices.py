"""Prices of a request, names of base models, and presets of hyperparameters."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from brightrun.api.pricing.models import BaseModel, BaseModelTerms, CurrentPrices, GpuPrice, HourlyRate, PresetId
from brightrun.contracts.training import GpuConfig, TrainingSpec
from brightrun.contracts.values import to_cents, to_money


def hourly_rate_of(gpu: GpuConfig, current: CurrentPrices) -> HourlyRate:
    """The price of all GPUs of a job, or the base model's own price. The GPU type must be active."""
    if current.gpu is None:
        raise ValueError(f"{gpu.type} is not active")
    hour, model = current.gpu.price_per_hour, current.base_model
    if model and model.price_per_hour is not None:
        hour = model.price_per_hour
    elif model and model.price_factor is not None:
        hour *= model.price_factor
    return HourlyRate(
        hourly=to_money(hour * gpu.count),
        tokens_per_second=current.gpu.tokens_per_second * gpu.count,
        storage=current.storage,
    )


def problems(current: CurrentPrices, gpus: Sequence[GpuPrice], max_cost: Decimal | None) -> dict[str, list[str]]:
    """Inactive GPU types and base models, and a cap below the fees, by the request's paths.

    `gpus` are the active types. A job costs the storage fee at least, however short it trains.
    """
    found: dict[str, list[str]] = {}
    if current.gpu is None:
        found |= unknown_gpu(gpus)
    if current.base_model and not current.base_model.active:
        found["hyperparameters.base_model"] = [
            "this base model is not offered any more: GET /api/base-models lists others"
        ]
    if max_cost is not None and max_cost < current.storage:
        found["hyperparameters.max_cost"] = [
            f"must be at least {to_cents(current.storage)} USD, which storing the model costs"
        ]
    return found


def unknown_gpu(gpus: Sequence[GpuPrice]) -> dict[str, list[str]]:
    """The problem of a GPU type that is none of the active `gpus`."""
    known = ", ".join(gpu.type for gpu in gpus)
    return {"gpu_config.type": [f"unknown GPU type; known are {known or 'none'}"]}


def with_own_name(spec: TrainingSpec, model: BaseModel | None) -> TrainingSpec:
    """The spec with the base model's own name instead of an alias, and its default revision."""
    if model is None:
        return spec
    revision = spec.base_model_revision or model.revision
    return spec.model_copy(update={"base_model": model.name, "base_model_revision": revision})


def taken_names(name: str, terms: BaseModelTerms, others: Sequence[BaseModel]) -> list[str]:
    """Those of a base model's names that another one has."""
    taken = {known for other in others if other.name != name for known in (other.name, *other.aliases)}
    return [known for known in (name, *terms.aliases) if known in taken]


@dataclass(frozen=True, slots=True)
class Preset:
    """Named hyperparameters."""

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
_REQUIRED_BY_CUSTOM = ("learning_rate", "batch_size", "rank")


def missing(preset_id: PresetId, submitted: TrainingSpec) -> list[str]:
    """The required hyperparameters that are missing; only `custom` requires any."""
    if preset_id != "custom":
        return []
    values = submitted.model_dump(exclude_unset=True, exclude_none=True)
    required = [name for name in _REQUIRED_BY_CUSTOM if name not in values]
    return required if {"epochs", "max_steps"} & values.keys() else [*required, "epochs"]


def resolve(preset_id: PresetId, submitted: TrainingSpec) -> TrainingSpec:
    """The resolved spec: submitted values, then those of the preset, then the defaults.

    Submitted values replace values of the preset that contradict them: `max_steps` its `epochs`, `rank` its `alpha`.
    """
    values = submitted.model_dump(exclude_unset=True, exclude_none=True)
    defaults = dict(_HYPERPARAMETERS.get(preset_id, {}))
    if "max_steps" in values:
        defaults.pop("epochs", None)
    if "rank" in values:
        defaults.pop("alpha", None)
    return TrainingSpec.model_validate(defaults | values).resolved()
