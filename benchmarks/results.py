"""Results on disk: one JSON file for each benchmark and variant, the last run's."""

import json
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"


def keep(name: str, content: dict[str, Any]) -> Path:
    """Write the result and say where."""
    path = FOLDER / f"{name}.json"
    # One line for each entry: the samples of hundreds of jobs would fill a page each otherwise.
    lines = [f"  {json.dumps(key)}: {json.dumps(value, default=_plain)}" for key, value in content.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    return path


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"not a result: {value!r}")
