"""Which changes of a JSON schema would break a reader or the parsing of what was written before."""

from typing import Any

SILENT = {"title", "description", "default", "examples"}


def breaking_changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Every breaking difference between two schemas of one model, by the path of what it touches."""
    found = _compare("", old, new)
    for name, definition in old.get("$defs", {}).items():
        if name not in new.get("$defs", {}):
            found.append(f"{name}: type removed")
        else:
            found += _compare(name, definition, new["$defs"][name])
    return found


def _compare(path: str, old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    olds, news = old.get("properties", {}), new.get("properties", {})
    found = [f"{path}.{name}: removed" for name in olds.keys() - news.keys()]
    found += [
        f"{path}.{name}: changed from {_shape(olds[name])} to {_shape(news[name])}"
        for name in olds.keys() & news.keys()
        if _shape(olds[name]) != _shape(news[name])
    ]
    required_before, required_now = set(old.get("required", ())), set(new.get("required", ()))
    found += [f"{path}.{name}: a new field must be optional" for name in required_now - olds.keys()]
    found += [f"{path}.{name}: is required now" for name in (required_now - required_before) & olds.keys()]
    found += [f"{path}.{name}: may be missing now" for name in (required_before - required_now) & news.keys()]
    if "properties" not in old and _shape(old) != _shape(new):
        found.append(f"{path}: changed")
    return sorted(found)


def _shape(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: _shape(value) for key, value in schema.items() if key not in SILENT}
    if isinstance(schema, list):
        return [_shape(item) for item in schema]
    return schema
