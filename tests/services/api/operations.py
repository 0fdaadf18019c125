"""Every operation of every dialect, from the documents that the application serves: tests are generated from them."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.contracts import openapi
from tests.contracts.dialects import documents

Json = dict[str, Any]


@dataclass(frozen=True)
class Operation:
    """One operation; `about` is what its dialect's document says of it, with every reference resolved."""

    dialect: str
    method: str
    path: str
    about: Json

    @property
    def name(self) -> str:
        """As people say it."""
        return f"{self.method} {self.path}"

    @property
    def in_path(self) -> list[str]:
        """The names of the path's variables."""
        return re.findall(r"{(\w+)}", self.path)

    @property
    def pattern(self) -> str:
        """The paths that it answers to."""
        return re.sub(r"{\w+}", "[^/]+", self.path)

    @property
    def scopes(self) -> set[str] | None:
        """What a token needs; None where none is needed."""
        security = self.about.get("security")
        return {scope for choice in security for scopes in choice.values() for scope in scopes} if security else None

    @property
    def takes_json(self) -> bool:
        """Whether the body is JSON."""
        return "application/json" in self._content

    @property
    def body_schema(self) -> Json:
        """The JSON body's schema."""
        schema: Json = self._content["application/json"]["schema"]
        choices = [choice for choice in schema.get("anyOf", [schema]) if choice.get("type") != "null"]
        return choices[0] if len(choices) == 1 else schema

    @property
    def example(self) -> Json:
        """A body that the operation takes."""
        example: Json = self.body_schema["examples"][0]
        return example

    @property
    def request(self) -> Json:
        """A body that the operation takes, as httpx's `json`, or `files` and `data`; empty where it takes none."""
        form: Json = self._content.get("multipart/form-data", {}).get("schema", {}).get("properties", {})
        if form:
            return {
                "files": {
                    name: ("a.jsonl", b"{}\n") for name, field in form.items() if field.get("format") == "binary"
                },
                "data": {name: field["const"] for name, field in form.items() if "const" in field},
            }
        return {"json": self.example} if self.takes_json else {}

    @property
    def query(self) -> dict[str, Json]:
        """The schemas of the query's parameters."""
        return {one["name"]: one["schema"] for one in self.about.get("parameters", ()) if one["in"] == "query"}

    @property
    def streams(self) -> bool:
        """Whether the answer goes on until somebody leaves."""
        return any("text/event-stream" in answer.get("content", {}) for answer in self.about["responses"].values())

    def url(self, **variables: object) -> str:
        """The path with its variables filled in."""
        return re.sub(r"{(\w+)}", lambda found: quote(str(variables[found[1]]), safe=""), self.path)

    @property
    def _content(self) -> Json:
        content: Json = self.about.get("requestBody", {}).get("content", {})
        return content


_OPERATIONS: list[Operation] = []


def operations_of(app: FastAPI) -> list[Operation]:
    """All operations, in the documents' order: the same for every application of a test run."""
    if not _OPERATIONS:
        _OPERATIONS.extend(read(documents(app)))
    return _OPERATIONS


def read(dialects: dict[str, Json]) -> list[Operation]:
    """The operations of documents, each of the dialect that is served below its name."""
    return [
        Operation(dialect, method, path if dialect == "api" else f"/{dialect}{path}", about)
        for dialect, document in dialects.items()
        for (method, path), about in (
            (tuple(name.split(" ", 1)), about) for name, about in openapi.operations(document).items()
        )
    ]


AMOUNT = re.compile(r"-?\d+\.\d{2,}")


def _values(body: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """The texts of a JSON value, with their places."""
    if isinstance(body, str):
        yield path, body
    elif isinstance(body, dict | list):
        for name, inner in body.items() if isinstance(body, dict) else enumerate(body):
            yield from _values(inner, f"{path}.{name}")


class DocumentedErrors:
    """Middleware that compares every error response with the documents, and finds amounts that are no numbers."""

    def __init__(self, app: ASGIApp, operations: list[Operation], undocumented: list[str]) -> None:
        self._app = app
        self._operations = operations
        self._undocumented = undocumented

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and record an error that the operation's document does not name."""
        status, body, is_json = 0, b"", False

        async def send_and_record(message: Message) -> None:
            nonlocal status, body, is_json
            status = message.get("status", status)
            is_json = is_json or (b"content-type", b"application/json") in message.get("headers", ())
            body += message.get("body", b"") if status >= 400 or is_json else b""
            await send(message)

        method, path = scope.get("method", ""), scope.get("path", "")
        await self._app(scope, receive, send_and_record)
        operation = self._find(method, path)
        if operation and status >= 400 and status not in (405, 500):
            documented = (
                operation.about["responses"].get(str(status), {}).get("content", {}).get("application/json", {})
            )
            code = json.loads(body)["code"] if operation.dialect == "api" else json.loads(body)["error"]["code"]
            if code not in {"unknown_url", *documented.get("examples", ())}:
                self._undocumented.append(f"{operation.name} responds with {status} {code}")

        elif operation and operation.dialect == "api" and is_json:
            texts = [path for path, value in _values(json.loads(body)) if AMOUNT.fullmatch(value)]
            self._undocumented.extend(f"{operation.name} responds with a text for the amount {path}" for path in texts)

    def _find(self, method: str, path: str) -> Operation | None:
        """The most specific operation, as `/jobs/estimate` before `/jobs/{job_id}`."""
        matching = [
            operation
            for operation in self._operations
            if operation.method == method and re.fullmatch(operation.pattern, path)
        ]
        return min(matching, key=lambda operation: len(operation.in_path), default=None)

    @classmethod
    @contextmanager
    def required_of(cls, app: FastAPI) -> Iterator[None]:
        """Fail after the block if the application has returned an undocumented error."""
        undocumented: list[str] = []
        app.add_middleware(cls, operations_of(app), undocumented)
        yield
        assert not undocumented, (
            "give these routes `responses=error_responses(…)` with their errors, and make numbers of amounts: "
            f"{sorted(set(undocumented))}"
        )
