"""Whatever is sent, wherever: a refusal with a stable code, and nothing stored."""

import json
from collections.abc import AsyncIterator, Collection, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from brightrun.api.settings import Settings
from brightrun.contracts.values import new_id
from brightrun.runtime.database import Pool
from brightrun.runtime.http import BoundedRoute
from tests.services.api.conftest import User
from tests.services.api.fakes import Fakes
from tests.services.api.objects import Objects
from tests.services.api.operations import Operation, operations_of

Json = dict[str, Any]
Place = tuple[str | int, ...]

INVALID = {400}
REFUSED = range(400, 500)
HARMLESS = range(200, 500)
ABSENT = "no_identity_provider"
"""What this installation has not got is refused before its request is looked at."""

SERVERS_OWN = ("id", "user_id", "role", "status", "scopes", "created_at", "cost", "is_admin", "__proto__", "$where", "")
"""What clients may not set; each is tried where the body has no such field."""
NO_OBJECTS = ["", "{", "[", "null", "7", '"text"', "[]", "{'a': 1}", '{"a": 1,}', b"\xff\xfe{}", b"\x00", '{"a": tru}']
NO_NUMBERS = ["NaN", "Infinity", "-Infinity", "1e400", "-1e400"]
NOT_STRICTLY_NUMBERS = ['"4"', '"4.5"', "true", "false"]
NOT_STRICTLY_INTEGERS = [*NOT_STRICTLY_NUMBERS, "1e0", "4.0", "4.5"]
NOT_STRICTLY_BOOLEANS = ['"true"', '"yes"', "1", "0", "1.0"]
HUGE = [str(2**63), str(-(2**63) - 1), str(2**64), "9" * 400, "9" * 5000]
NO_TEXTS = [r'"a\u0000b"', r'"\ud800"', r'"\udfff\ud800"', '"\x01"']
NO_IDS = ["1", "-1", str(2**63), "9" * 5000, "nonsense", "'%20OR%201=1--", "%ff", "%f0%9f%92%a9"]
NO_NAMES = ["%00", "a%00b", "%0a", "a%0db", "..%2f..%2fetc%2fpasswd%00", "a" * 9000]
NO_TOKENS = [
    "",
    " ",
    "x",
    "brs_",
    "br_",
    "é",
    "x" * 60_000,
    "a b c",
    "brs_\x00",
    "..",
    "e30.e30.e30",
    "eyJhbGciOiJub25lIn0.e30.",
]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Without limits on how often somebody may ask."""
    return settings.model_copy(update={"rate_limit_reads": 0, "rate_limit_changes": 0, "rate_limit_anonymous": 0})


@dataclass
class Attack:
    """Sends requests as an admin and notes which of them were not answered as they should have been."""

    client: httpx.AsyncClient
    objects: dict[tuple[str, str], str]
    wrong: list[str] = field(default_factory=list)
    sent: int = 0

    async def send(
        self, operation: Operation, what: str, expected: Collection[int] = INVALID, url: str = "", **request: Any
    ) -> None:
        """One request; `expected` are the statuses that are right."""
        self.sent += 1
        url = url or operation.url(**self.variables(operation))
        answer = await self.client.request(operation.method, url, **request)
        code = _code(operation, answer) if answer.status_code >= 400 else "none"
        if not (answer.status_code in expected or code == ABSENT) or code in ("", "internal_error", "refused"):
            self.wrong.append(f"{operation.name}: {what}: {answer.status_code} {answer.text[:300]}")

    def variables(self, operation: Operation) -> Json:
        """For the operation's path: the attacker's own objects where there are some, else nobody's."""
        return {name: self.objects.get((operation.dialect, name)) or str(new_id()) for name in operation.in_path}

    async def post(
        self, operation: Operation, what: str, content: str | bytes, expected: Collection[int] = INVALID
    ) -> None:
        """Send `content` as JSON."""
        body = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
        await self.send(operation, what, expected, content=body, headers={"content-type": "application/json"})


def _code(operation: Operation, answer: httpx.Response) -> str:
    """The stable code of a refusal in the shape of its dialect; empty if it has another shape."""
    body = answer.json()
    if operation.dialect == "api":
        return str(body["code"]) if body.keys() == {"error", "code", "details"} and body["error"] else ""
    refusal = body.get("error", {})
    return str(refusal["code"]) if refusal.keys() == {"message", "type", "param", "code"} else ""


@pytest_asyncio.fixture
async def attack(app: FastAPI, ada: User, pool: Pool, fakes: Fakes) -> AsyncIterator[Attack]:
    """An admin's, so that nothing is refused for want of a right or of an object."""
    own = Objects(ada, pool, fakes)
    queried = {
        (operation.dialect, name) for operation in operations_of(app) if operation.query for name in operation.in_path
    }
    attack = Attack(ada, {(dialect, name): (await own.for_path(dialect, [name]))[name] for dialect, name in queried})
    before = await _rows(pool)
    yield attack
    assert attack.sent
    assert not attack.wrong, "\n".join(attack.wrong)
    assert await _rows(pool) == before


async def _rows(pool: Pool) -> dict[str, int]:
    """The audit log is left out: it has the changes that a peer service refused, too."""
    tables = await pool.fetch(
        "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename <> 'audit_log'"
    )
    return {name: await pool.fetchval(f'SELECT count(*) FROM "{name}"') for (name,) in tables}  # noqa: S608


@pytest.fixture
def takers(app: FastAPI) -> list[Operation]:
    """The operations that take JSON."""
    return [operation for operation in operations_of(app) if operation.takes_json]


def choices(schema: Json) -> list[Json]:
    found: list[Json] = schema.get("anyOf", [schema])
    return found


def objects(schema: Json, example: Any, place: Place = ()) -> Iterator[tuple[Place, Json]]:
    """Each object of a body whose fields the schema names, with that schema."""
    schema = next((choice for choice in choices(schema) if choice.get("properties")), schema)
    if schema.get("properties") and isinstance(example, dict):
        yield place, schema
        for name, inner in schema["properties"].items():
            if name in example:
                yield from objects(inner, example[name], (*place, name))


def fields(schema: Json, example: Any, *types: str) -> Iterator[Place]:
    """The places of all fields of those types, whether the example has them or not."""
    for place, inner in objects(schema, example):
        for name, about in inner["properties"].items():
            if any(choice.get("type") in types for choice in choices(about)):
                yield (*place, name)
            elif any(choice.get("items", {}).get("type") in types for choice in choices(about)):
                yield (*place, name, 0)


MARK = "\ue000put it here\ue000"


def text_with(body: Json, place: Place, raw: str) -> str:
    """The body's text with `raw` as it is at `place`."""
    changed: Any = deepcopy(body)
    part = changed
    for step in place[:-1]:
        part = part.setdefault(step, []) if isinstance(part, dict) else part[step]
    if isinstance(part, list):
        part[:] = [MARK]
    else:
        part[place[-1]] = MARK
    return json.dumps(changed, ensure_ascii=False).replace(json.dumps(MARK, ensure_ascii=False), raw)


async def test_no_body_sets_server_fields(attack: Attack, takers: list[Operation]) -> None:
    for operation in takers:
        for place, schema in objects(operation.body_schema, operation.example):
            for name in SERVERS_OWN:
                if name not in schema["properties"]:
                    body = text_with(operation.example, (*place, name), '"mine"')
                    await attack.post(operation, f"extra {(*place, name)}", body)


async def test_a_body_that_is_no_json_object_is_rejected(attack: Attack, takers: list[Operation]) -> None:
    for operation in takers:
        for content in NO_OBJECTS:
            if content not in ("", "null") or operation.about["requestBody"].get("required"):
                await attack.post(operation, repr(content), content)


async def test_another_content_type_of_a_body_is_rejected(attack: Attack, takers: list[Operation]) -> None:
    for operation in takers:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/xml"):
            body = json.dumps(operation.example).encode()
            await attack.send(operation, kind, content=body, headers={"content-type": kind})


@pytest.mark.parametrize(
    ("types", "values"),
    [
        (("number", "integer"), NO_NUMBERS + NOT_STRICTLY_NUMBERS),
        (("integer",), HUGE + NOT_STRICTLY_INTEGERS),
        (("boolean",), NOT_STRICTLY_BOOLEANS),
        (("string",), NO_TEXTS),
    ],
    ids=["numbers", "integers", "booleans", "texts"],
)
async def test_an_invalid_value_of_a_field_is_rejected(
    attack: Attack, takers: list[Operation], types: tuple[str, ...], values: list[str]
) -> None:
    for operation in takers:
        for place in fields(operation.body_schema, operation.example, *types):
            for value in values:
                await attack.post(operation, f"{place} {value[:30]}", text_with(operation.example, place, value))


@pytest.mark.parametrize("depth", [500, 100_000])
async def test_deep_nesting_is_rejected(attack: Attack, takers: list[Operation], depth: int) -> None:
    for operation in takers:
        for nested in ("[" * depth + "1" + "]" * depth, '{"a":' * depth + "1" + "}" * depth):
            await attack.post(operation, "as the body", nested)
            for name in operation.body_schema["properties"]:
                await attack.post(operation, name, text_with(operation.example, (name,), nested))


async def test_a_body_of_very_many_values_is_rejected_with_a_short_error(ada: User, takers: list[Operation]) -> None:
    """Each value may be wrong: as many complaints would be a weapon."""
    for operation in takers:
        for body in ({"a": [1] * 30_000}, {str(number): 1 for number in range(30_000)}):
            url = operation.url(**dict.fromkeys(operation.in_path, new_id()))
            answer = await ada.request(operation.method, url, json=body)
            assert answer.status_code == 400, operation.name
            assert len(answer.content) < 2_000, operation.name


async def test_a_body_above_the_limit_is_rejected(attack: Attack, takers: list[Operation]) -> None:
    async def in_chunks() -> AsyncIterator[bytes]:
        for _ in range(BoundedRoute.max_body_bytes // 65_536):
            yield b" " * 65_536
        yield b" "

    for operation in takers:
        await attack.post(operation, "one byte too many", b" " * (BoundedRoute.max_body_bytes + 1), {413})
        headers = {"content-type": "application/json"}
        await attack.send(operation, "in chunks", {413}, content=in_chunks(), headers=headers)


async def test_a_body_up_to_the_limit_is_read(attack: Attack, takers: list[Operation]) -> None:
    for operation in takers:
        await attack.post(operation, "all spaces but a list", b"[]".ljust(BoundedRoute.max_body_bytes))


async def test_numbers_in_the_query_are_bounded(attack: Attack, app: FastAPI) -> None:
    for operation in operations_of(app):
        for name, schema in operation.query.items():
            bounds = [choice for choice in choices(schema) if choice.get("type") == "integer"]
            for bound in bounds:
                beyond = [bound[key] + step for key, step in (("minimum", -1), ("maximum", 1)) if key in bound]
                assert len(beyond) == 2, f"{operation.name} bounds {name} on one side only"
                for value in [*beyond, "1.5", "1e3", "NaN", "x", "", *HUGE, "\x00", "٣x"]:
                    await attack.send(operation, f"{name}={str(value)[:20]!r}", params={name: value})


async def test_an_unknown_value_in_the_query_is_rejected(attack: Attack, app: FastAPI) -> None:
    for operation in operations_of(app):
        for name, schema in operation.query.items():
            if any("enum" in choice or choice.get("type") == "boolean" for choice in choices(schema)):
                for value in ("", "nonsense", "a\x00b", "x" * 10_000):
                    await attack.send(operation, f"{name}={value[:20]!r}", params={name: value})


async def test_text_in_the_query_breaks_nothing(attack: Attack, app: FastAPI) -> None:
    for operation in operations_of(app):
        for name, schema in operation.query.items():
            if any(choice.get("type") == "string" for choice in choices(schema)):
                await attack.send(operation, f"{name} is very long", params={name: "x" * 10_000})
                for text in ("\x00", "a\x00b", "\x7f", "\ufffe", "%", "\\", "'") if not operation.streams else ():
                    await attack.send(operation, f"{name}={text!r}", HARMLESS, params={name: text})


async def test_a_path_that_names_no_object_is_rejected(attack: Attack, app: FastAPI) -> None:
    for operation in operations_of(app):
        names = NO_NAMES if operation.method == "PUT" else NO_NAMES + NO_IDS
        body = {"json": operation.example} if operation.takes_json else {}
        for variable in operation.in_path:
            for name in names:
                url = operation.url(**attack.variables(operation) | {variable: "@"}).replace("%40", name)
                await attack.send(operation, f"{variable}={name[:30]}", REFUSED, url=url, **body)


async def test_an_invalid_token_is_rejected(attack: Attack, app: FastAPI) -> None:
    for operation in operations_of(app):
        for token in NO_TOKENS if operation.scopes is not None else ():
            headers = {"authorization": f"Bearer {token}".encode()}
            await attack.send(operation, f"token {token[:20]!r}", {401}, headers=headers)
