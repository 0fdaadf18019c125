"""The part of a cluster's metadata that is kept with a model: the valid fields."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from brightrun.artifacts.models.models import ModelReport


def read_report(metadata: Mapping[str, Any]) -> ModelReport:
    """The report on a model."""
    fields = {"base_revision": metadata.get("revision")}
    fields |= {name: metadata.get(name) for name in ("chat_template", "versions", "serving", "samples")}
    fields = {name: _without_nul(value) for name, value in fields.items() if value is not None}
    return ModelReport.model_validate({name: value for name, value in fields.items() if _is_valid(name, value)})


def _is_valid(name: str, value: Any) -> bool:
    try:
        ModelReport.model_validate({name: value})
    except ValidationError:
        return False
    return True


def _without_nul(value: Any) -> Any:
    """PostgreSQL stores no NUL."""
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    return value
