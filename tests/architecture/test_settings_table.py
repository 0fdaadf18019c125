"""docs/settings.md names every setting of every service, and nothing else."""

import importlib
import re
from importlib.util import find_spec
from pathlib import Path

from brightrun.local.platform import SERVICES
from brightrun.runtime.settings import SliceSettings

GUIDE = Path(__file__).parents[2] / "docs/settings.md"


def test_the_table_lists_the_settings_of_all_services() -> None:
    table = GUIDE.read_text().split("<!-- settings -->")[1].split("<!-- /settings -->")[0]
    first_cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    documented = {name.lower() for cell in first_cells for name in re.findall(r"`([A-Z0-9_]+)`", cell)}
    existing = {name for service in SERVICES for name in _settings(service).model_fields}
    assert documented == existing


def _settings(service: str) -> type[SliceSettings]:
    """The tracker needs no more than every slice does."""
    module = f"brightrun.{service}.settings"
    return importlib.import_module(module).Settings if find_spec(module) else SliceSettings
