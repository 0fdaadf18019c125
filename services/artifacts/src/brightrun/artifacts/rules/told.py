"""What of a cluster's metadata is kept with a model: each part that is sound, and nothing for those that are not."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from brightrun.artifacts.reports import ModelReport


def read_report(metadata: Mapping[str, Any]) -> ModelReport:
    """The report on a model."""
    told = _without_nul(
        {
            "base_revision": metadata.get("revision"),
            **{name: metadata.get(name) for name in ("chat_template", "versions", "serving", "samples")},
        }
    )
    given = {name: value for name, value in told.items() if value is not None}
    sound = {name: value for name, value in given.items() if _is_sound(name, value)}
    return ModelReport.model_validate(sound)


def _is_sound(name: str, value: Any) -> bool:
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
        return [_without_nul(one) for one in value]
    if isinstance(value, dict):
        return {_without_nul(name): _without_nul(one) for name, one in value.items()}
    return value
