"""docs/settings.md names every setting of every service with its default, and nothing else."""

import importlib
import json
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from brightrun.local.platform import SERVICES
from brightrun.runtime.settings import SliceSettings

GUIDE = Path(__file__).parents[2] / "docs/settings.md"


def test_the_table_lists_the_settings_of_all_services() -> None:
    documented = {name for name, _ in _rows()}
    existing = {name for service in SERVICES for name in _settings(service).model_fields}
    assert documented == existing


def test_the_table_gives_the_defaults_of_the_code() -> None:
    fields = {name: field for service in SERVICES for name, field in _settings(service).model_fields.items()}
    documented = {name: match[1] for name, default in _rows() if (match := re.fullmatch(r"`(\S+)`", default))}

    assert documented == {name: _written(fields[name].default) for name in documented}


def _written(default: object) -> str:
    """A default as an environment variable holds it."""
    return json.dumps(default).removesuffix(".0").strip('"')


def _rows() -> Iterator[tuple[str, str]]:
    """Name and default of each setting; a row may hold several, and one default may be that of all."""
    table = GUIDE.read_text().split("<!-- settings -->")[1].split("<!-- /settings -->")[0]
    for line in table.splitlines():
        if line.startswith("| `"):
            _, first, _, default, *_ = (cell.strip() for cell in line.split("|"))
            names = re.findall(r"`([A-Z0-9_]+)`", first)
            defaults = default.split(", ")
            yield from zip(
                (name.lower() for name in names),
                defaults if len(defaults) == len(names) else [default] * len(names),
                strict=True,
            )


def _settings(service: str) -> type[SliceSettings]:
    """The tracker needs no more than every slice does."""
    module = f"brightrun.{service}.settings"
    return importlib.import_module(module).Settings if find_spec(module) else SliceSettings
