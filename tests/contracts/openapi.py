"""Which changes of an OpenAPI document would break a client.

What a client sends must stay welcome and what it reads must stay there; anything may be added to either.
"""

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

SILENT = {"title", "summary", "description", "default", "example", "tags", "operationId"}
NAMED = {"properties", "schemas", "securitySchemes", "paths", "responses", "content", "headers"}
"""Keys over names of somebody's choice, which are no keywords whatever they are."""
METHODS = {"get", "put", "post", "delete", "options", "head", "patch"}
AT_LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
AT_MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")


def essence(part: Any, named: bool = False) -> Any:
    """The document without its texts; of the examples of answers only their names stay, the codes of refusals."""
    if isinstance(part, list):
        return [essence(item) for item in part]
    if not isinstance(part, dict):
        return part
    kept: Json = {}
    for key, value in part.items():
        if named:
            kept[key] = essence(value)
        elif key == "examples":
            kept |= {key: {name: {} for name in value}} if isinstance(value, dict) else {}
        elif key not in SILENT:
            kept[key] = essence(value, key in NAMED)
    return kept


def breaking_changes(old: Json, new: Json) -> list[str]:
    """Every breaking difference between two documents, each with its place."""
    olds, news = operations(old), operations(new)
    found = [f"{name}: removed" for name in olds.keys() - news.keys()]
    for name in olds.keys() & news.keys():
        found += [f"{name} {change}" for change in changes_of(olds[name], news[name])]
    return sorted(found)


def operations(document: Json) -> dict[str, Json]:
    """Each operation, `GET /path`, with every reference resolved."""
    return {
        f"{method.upper()} {path}": _resolved(operation, document)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in METHODS
    }


def _resolved(part: Any, document: Json, inside: tuple[str, ...] = ()) -> Any:
    """`part` with what its references lead to in their place; a type within itself stays a name."""
    if isinstance(part, list):
        return [_resolved(item, document, inside) for item in part]
    if not isinstance(part, dict):
        return part
    reference = part.get("$ref")
    if isinstance(reference, str):
        beside = {key: value for key, value in part.items() if key != "$ref"}
        if reference in inside:
            return {"recursive": reference, **beside}
        found: Any = document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]
        return _resolved({**found, **beside}, document, (*inside, reference))
    return {key: _resolved(value, document, inside) for key, value in part.items()}


def changes_of(old: Json, new: Json) -> Iterator[str]:
    """Every breaking difference between two states of an operation."""
    yield from _parameters(old, new)
    yield from _body(old.get("requestBody"), new.get("requestBody"))
    for status, response in old["responses"].items():
        if status in new["responses"]:
            yield from _contents(f"response {status}", response, new["responses"][status], sent=False)
        else:
            yield f"response {status}: removed"
    for scheme, scopes in _needed(new).items():
        if missing := scopes - _needed(old).get(scheme, set()):
            yield f"needs {scheme} {' '.join(sorted(missing))} now"


def _needed(operation: Json) -> dict[str, set[str]]:
    return {scheme: {"", *scopes} for choice in operation.get("security", []) for scheme, scopes in choice.items()}


def _parameters(old: Json, new: Json) -> Iterator[str]:
    olds, news = _by_name(old), _by_name(new)
    for name, parameter in olds.items():
        if name not in news:
            yield f"{name}: removed"
        else:
            yield from _schema(name, parameter["schema"], news[name]["schema"], sent=True)
    for name, parameter in news.items():
        if parameter.get("required") and not olds.get(name, {}).get("required"):
            yield f"{name}: is required now"


def _by_name(operation: Json) -> dict[str, Json]:
    return {f"{parameter['in']} {parameter['name']}": parameter for parameter in operation.get("parameters", [])}


def _body(old: Json | None, new: Json | None) -> Iterator[str]:
    if new and new.get("required") and not (old and old.get("required")):
        yield "body: is required now"
    if old and new:
        yield from _contents("body", old, new, sent=True)
    elif old:
        yield "body: removed"


def _contents(place: str, old: Json, new: Json, *, sent: bool) -> Iterator[str]:
    for kind, content in old.get("content", {}).items():
        if kind not in new.get("content", {}):
            yield f"{place}: {kind} removed"
            continue
        changed = new["content"][kind]
        for code in content.get("examples", {}).keys() - changed.get("examples", {}).keys() if not sent else ():
            yield f"{place}: code {code} removed"
        yield from _schema(place, content.get("schema", {}), changed.get("schema", {}), sent=sent)


def _schema(place: str, old: Json, new: Json, *, sent: bool) -> list[str]:
    """What was sent must fit one choice of the new schema; what is read now must fit one of the old."""
    if old == new:
        return []
    olds, news = _choices(old), _choices(new)
    found: list[str] = []
    for choice in olds if sent else news:
        pairs = [(choice, other) for other in news] if sent else [(other, choice) for other in olds]
        found += min((list(_choice(place, *pair, sent=sent)) for pair in pairs), key=len)
    return found


def _choices(schema: Json) -> list[Json]:
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return [choice for member in schema[several] for choice in _choices(member)]
    if isinstance(schema.get("type"), list):
        return [schema | {"type": name} for name in schema["type"]]
    return [schema]


def _choice(place: str, old: Json, new: Json, *, sent: bool) -> Iterator[str]:
    yield from _type(place, old, new, sent=sent)
    yield from _values(place, old, new, sent=sent)
    if sent:
        yield from _bounds(place, old, new)
    olds, news = old.get("properties", {}), new.get("properties", {})
    for name, schema in olds.items():
        if name in news:
            yield from _schema(f"{place}.{name}", schema, news[name], sent=sent)
        else:
            yield f"{place}.{name}: removed"
    required, needed = set(old.get("required", ())), set(new.get("required", ()))
    for name in needed - required if sent else (required - needed) & news.keys():
        yield f"{place}.{name}: {'is required' if sent else 'may be missing'} now"
    for inner in ("items", "additionalProperties"):
        if isinstance(old.get(inner), dict) and isinstance(new.get(inner), dict):
            yield from _schema(f"{place}[]", old[inner], new[inner], sent=sent)
    if sent and new.get("additionalProperties") is False and old.get("additionalProperties") is not False:
        yield f"{place}: error_responses unknown fields now"


def _type(place: str, old: Json, new: Json, *, sent: bool) -> Iterator[str]:
    source, target = (old, new) if sent else (new, old)
    for key in ("type", "format"):
        value, other = source.get(key), target.get(key)
        if other is not None and value != other and (value, other) != ("integer", "number"):
            yield f"{place}: {key} changed from {old.get(key)} to {new.get(key)}"


def _values(place: str, old: Json, new: Json, *, sent: bool) -> Iterator[str]:
    olds, news = _listed(old), _listed(new)
    if olds is not None and news is not None:
        yield from (f"{place}: value {value!r} removed" for value in olds if value not in news)
    elif (news if sent else olds) is not None:
        yield f"{place}: {'only listed values are taken' if sent else 'the values are not listed any more'}"


def _listed(schema: Json) -> list[Any] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")


def _bounds(place: str, old: Json, new: Json) -> Iterator[str]:
    for keys, sign in ((AT_LEAST, 1), (AT_MOST, -1)):
        for key in keys:
            if key in new and (key not in old or sign * new[key] > sign * old[key]):
                yield f"{place}: {key} {new[key]} is narrower"
    if "pattern" in new and new["pattern"] != old.get("pattern"):
        yield f"{place}: pattern changed"
