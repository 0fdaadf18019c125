"""Every single thing that a client could miss is missed by the comparison; every addition passes it."""

from collections.abc import Callable, Iterator
from copy import copy, deepcopy
from typing import Any

import pytest

from tests.contracts.golden import golden
from tests.contracts.openapi import METHODS, breaking_changes, changes_of, operations

Json = dict[str, Any]
Place = tuple[str | int, ...]
Mutation = Callable[[Json], Iterator[Json]]

GOLDEN = golden("golden/openapi")


def edited(part: Any, place: Place, change: Callable[[Any], None]) -> Any:
    """A copy in which `change` was done to what is at `place`; it shares all else."""
    copied = copy(part)
    if place:
        copied[place[0]] = edited(part[place[0]], place[1:], change)
    else:
        change(copied)
    return copied


def schemas(part: Any, place: Place = ()) -> Iterator[tuple[Place, Json]]:
    """Each schema below `part`, `part` itself included."""
    yield place, part
    for name, field in part.get("properties", {}).items():
        yield from schemas(field, (*place, "properties", name))
    for key in ("items", "additionalProperties"):
        if isinstance(part.get(key), dict):
            yield from schemas(part[key], (*place, key))
    for number, choice in enumerate(part.get("anyOf", ())):
        yield from schemas(choice, (*place, "anyOf", number))


def bodies(operation: Json) -> Iterator[tuple[Place, Json]]:
    """Each schema of what is sent in the body."""
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        yield from schemas(content.get("schema", {}), ("requestBody", "content", kind, "schema"))


def answers(operation: Json) -> Iterator[tuple[Place, Json]]:
    """Each schema of what is answered."""
    for status, response in operation["responses"].items():
        for kind, content in response.get("content", {}).items():
            yield from schemas(content.get("schema", {}), ("responses", status, "content", kind, "schema"))


def parameters(operation: Json) -> Iterator[tuple[Place, Json]]:
    """Each schema of a parameter."""
    for number, parameter in enumerate(operation.get("parameters", ())):
        yield from schemas(parameter["schema"], ("parameters", number, "schema"))


def an_answer_removed(operation: Json) -> Iterator[Json]:
    for status in operation["responses"]:
        yield edited(operation, ("responses",), lambda all_, status=status: all_.pop(status))


def a_code_removed(operation: Json) -> Iterator[Json]:
    for status, response in operation["responses"].items():
        for kind, content in response.get("content", {}).items():
            for code in content.get("examples", ()):
                place = ("responses", status, "content", kind, "examples")
                yield edited(operation, place, lambda codes, code=code: codes.pop(code))


def a_field_removed(operation: Json) -> Iterator[Json]:
    for place, schema in [*bodies(operation), *answers(operation)]:
        for name in schema.get("properties", ()):
            yield edited(operation, (*place, "properties"), lambda fields, name=name: fields.pop(name))


def a_field_that_may_be_missing(operation: Json) -> Iterator[Json]:
    for place, schema in answers(operation):
        for name in schema.get("required", ()):
            yield edited(operation, (*place, "required"), lambda names, name=name: names.remove(name))


def a_field_required(operation: Json) -> Iterator[Json]:
    for place, schema in bodies(operation):
        fields = schema.get("properties", {})
        for name in [*fields.keys() - set(schema.get("required", ())), "new"] if fields else ():
            yield edited(operation, place, lambda it, name=name: it.update(required=[*it.get("required", ()), name]))


def a_value_removed(operation: Json) -> Iterator[Json]:
    for place, schema in [*bodies(operation), *answers(operation), *parameters(operation)]:
        for value in schema.get("enum", ()):
            yield edited(operation, (*place, "enum"), lambda values, value=value: values.remove(value))


def another_type(operation: Json) -> Iterator[Json]:
    for place, schema in [*bodies(operation), *answers(operation), *parameters(operation)]:
        if "type" in schema:
            yield edited(operation, place, lambda it: it.update(type="another"))


def a_narrower_bound(operation: Json) -> Iterator[Json]:
    for place, schema in [*bodies(operation), *parameters(operation)]:
        for bound in schema.keys() & {"minimum", "exclusiveMinimum", "minLength", "minItems"}:
            yield edited(operation, place, lambda it, bound=bound: it.update({bound: it[bound] + 1}))
        for bound in schema.keys() & {"maximum", "exclusiveMaximum", "maxLength", "maxItems"}:
            yield edited(operation, place, lambda it, bound=bound: it.update({bound: it[bound] - 1}))
        if schema.get("type") == "string" and not schema.keys() & {"enum", "const"}:
            yield edited(operation, place, lambda it: it.update(pattern="^another$"))
            yield edited(operation, place, lambda it: it.update(enum=["the only one"]))


def a_null_more(operation: Json) -> Iterator[Json]:
    for place, schema in answers(operation):
        if "properties" in schema:
            for name, field in schema["properties"].items():
                if field.get("type", "null") != "null":
                    nullable = {"anyOf": [field, {"type": "null"}]}
                    change = lambda fields, name=name, now=nullable: fields.update({name: now})  # noqa: E731
                    yield edited(operation, (*place, "properties"), change)


def a_parameter_removed(operation: Json) -> Iterator[Json]:
    for number in range(len(operation.get("parameters", ()))):
        yield edited(operation, ("parameters",), lambda all_, number=number: all_.pop(number))


def a_parameter_required(operation: Json) -> Iterator[Json]:
    new = {"in": "query", "name": "new", "required": True, "schema": {"type": "string"}}
    yield operation | {"parameters": [*operation.get("parameters", ()), new]}
    for number, parameter in enumerate(operation.get("parameters", ())):
        if not parameter.get("required"):
            yield edited(operation, ("parameters", number), lambda it: it.update(required=True))


def a_body_required(operation: Json) -> Iterator[Json]:
    if not operation.get("requestBody", {}).get("required"):
        body = {"content": {"application/json": {"schema": {"type": "object"}}}}
        yield operation | {"requestBody": body | operation.get("requestBody", {}) | {"required": True}}


def a_scope_more(operation: Json) -> Iterator[Json]:
    yield operation | {"security": [{"HTTPBearer": [*_scopes(operation), "another"]}]}


def _scopes(operation: Json) -> list[str]:
    return [scope for choice in operation.get("security", ()) for scopes in choice.values() for scope in scopes]


BREAKING: list[Mutation] = [
    an_answer_removed,
    a_code_removed,
    a_field_removed,
    a_field_that_may_be_missing,
    a_field_required,
    a_value_removed,
    another_type,
    a_narrower_bound,
    a_null_more,
    a_parameter_removed,
    a_parameter_required,
    a_body_required,
    a_scope_more,
]


def an_answer_more(operation: Json) -> Iterator[Json]:
    yield operation | {"responses": operation["responses"] | {"418": {"description": "new"}}}


def a_field_more(operation: Json) -> Iterator[Json]:
    for place, schema in [*bodies(operation), *answers(operation)]:
        if "properties" in schema:
            yield edited(operation, (*place, "properties"), lambda fields: fields.update(new={"type": "string"}))


def a_field_not_required_any_more(operation: Json) -> Iterator[Json]:
    for place, schema in bodies(operation):
        for name in schema.get("required", ()):
            yield edited(operation, (*place, "required"), lambda names, name=name: names.remove(name))


def a_value_more(operation: Json) -> Iterator[Json]:
    for place, schema in [*bodies(operation), *answers(operation), *parameters(operation)]:
        if "enum" in schema:
            yield edited(operation, (*place, "enum"), lambda values: values.append("new"))


def a_wider_bound(operation: Json) -> Iterator[Json]:
    for place, schema in [*bodies(operation), *parameters(operation)]:
        for bound in schema.keys() & {"minimum", "minLength", "maximum", "maxLength", "pattern"}:
            yield edited(operation, place, lambda it, bound=bound: it.pop(bound))


def a_parameter_more(operation: Json) -> Iterator[Json]:
    new = {"in": "query", "name": "new", "schema": {"type": "string"}}
    yield operation | {"parameters": [*operation.get("parameters", ()), new]}


def a_scope_less(operation: Json) -> Iterator[Json]:
    yield operation | {"security": []}


ADDITIONS: list[Mutation] = [
    an_answer_more,
    a_field_more,
    a_field_not_required_any_more,
    a_value_more,
    a_wider_bound,
    a_parameter_more,
    a_scope_less,
]


def results(dialect: str, mutation: Mutation) -> list[tuple[str, list[str]]]:
    """What the comparison finds in each single mutation of each operation."""
    return [
        (name, list(changes_of(operation, after)))
        for name, operation in operations(GOLDEN[dialect]).items()
        for after in mutation(operation)
    ]


@pytest.mark.parametrize("dialect", GOLDEN)
@pytest.mark.parametrize("mutation", BREAKING, ids=lambda mutation: mutation.__name__)
def test_a_breaking_change_is_noticed(dialect: str, mutation: Mutation) -> None:
    tried = results(dialect, mutation)

    assert tried
    assert [name for name, changes in tried if not changes] == []


@pytest.mark.parametrize("dialect", GOLDEN)
@pytest.mark.parametrize("mutation", ADDITIONS, ids=lambda mutation: mutation.__name__)
def test_an_addition_is_welcome(dialect: str, mutation: Mutation) -> None:
    tried = results(dialect, mutation)

    assert tried
    assert [(name, changes) for name, changes in tried if changes] == []


@pytest.mark.parametrize("dialect", GOLDEN)
def test_an_operation_that_is_gone_is_noticed(dialect: str) -> None:
    document = GOLDEN[dialect]
    for path, methods in document["paths"].items():
        for method in methods.keys() & METHODS:
            less = deepcopy(document)
            del less["paths"][path][method]
            assert breaking_changes(document, less) == [f"{method.upper()} {path}: removed"]
            assert breaking_changes(less, document) == []
