"""What the price table says of an order."""

from collections.abc import Sequence

from brightrun.api.price_table import BaseModel, BaseModelTerms, GpuPrice, Offer
from brightrun.api.quotes import Rate
from brightrun.contracts.training import GpuConfig, TrainingSpec
from brightrun.contracts.values import to_money


def rate_of(gpu: GpuConfig, offer: Offer) -> Rate:
    """The prices of all GPUs of a job, with the base model's own price where it has one. The GPU must be on offer."""
    if offer.gpu is None:
        raise ValueError(f"{gpu.type} is not on offer")
    hour, model = offer.gpu.price_per_hour, offer.base_model
    if model and model.price_per_hour is not None:
        hour = model.price_per_hour
    elif model and model.price_factor is not None:
        hour *= model.price_factor
    return Rate(
        hourly=to_money(hour * gpu.count),
        tokens_per_second=offer.gpu.tokens_per_second * gpu.count,
        storage=offer.storage,
    )


def problems(offer: Offer, gpus: Sequence[GpuPrice]) -> dict[str, list[str]]:
    """What of an order cannot be had, by its path; `gpus` are those that can."""
    found: dict[str, list[str]] = {}
    if offer.gpu is None:
        known = ", ".join(gpu.type for gpu in gpus)
        found["gpu_config.type"] = [f"unknown GPU type; known are {known or 'none'}"]
    if offer.base_model and not offer.base_model.active:
        found["hyperparameters.base_model"] = [
            "this base model is not offered any more: GET /api/base-models lists others"
        ]
    return found


def named(spec: TrainingSpec, model: BaseModel | None) -> TrainingSpec:
    """The spec with the base model's own name in place of an alias, and the revision that the table names for it."""
    if model is None:
        return spec
    revision = spec.base_model_revision or model.revision
    return spec.model_copy(update={"base_model": model.name, "base_model_revision": revision})


def taken_names(name: str, terms: BaseModelTerms, others: Sequence[BaseModel]) -> list[str]:
    """Those of a base model's names that one of the others goes by already."""
    taken = {known for other in others if other.name != name for known in (other.name, *other.aliases)}
    return [known for known in (name, *terms.aliases) if known in taken]
