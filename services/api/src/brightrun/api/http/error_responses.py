"""Errors in the OpenAPI documents: those of each route, and those that every route may answer with."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from brightrun.api.errors import Invalid, RateLimited, TooLarge, UnreadableBody, WrongScope
from brightrun.runtime.errors import NotFound, ServiceError, Unauthorized, Unavailable


class ErrorBody(BaseModel):
    """The body of every error response: a sentence, a stable code, and details."""

    error: str
    code: str
    details: Any = None


Json = dict[str, Any]
Responses = dict[int | str, Json]
ErrorShape = Callable[[int, ErrorBody], BaseModel]
"""The body that a dialect answers with, from a status and an error."""
JSON = "application/json"
SCHEMAS = "#/components/schemas/"


def error_responses(*errors: type[ServiceError]) -> Responses:
    """A route's `responses` for the errors that its parameters do not imply."""
    responses: Responses = {}
    for error in errors:
        _add(responses, error)
    return responses


def describe_errors(app: FastAPI, shape: ErrorShape = lambda _, error: error) -> None:
    """Let the app's document list every response of every operation, errors in the dialect's `shape`."""
    generate = app.openapi

    def openapi() -> Json:
        if app.openapi_schema is None:
            app.openapi_schema = complete(generate(), shape)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def complete(document: Json, shape: ErrorShape) -> Json:
    """Add to each operation the errors that follow from its parameters."""
    schemas = document["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            responses = deepcopy(operation["responses"])  # routes share them
            if "HTTPValidationError" in str(responses.get("422")):
                del responses["422"]
            for error in _implied(path, operation):
                _add(responses, error)
            for status, response in responses.items():
                if status >= "400":
                    schemas |= _shape(int(status), response, shape)
            operation["responses"] = dict(sorted(responses.items()))
    return document


def _implied(path: str, operation: Json) -> Iterator[type[ServiceError]]:
    if "requestBody" in operation or "parameters" in operation:
        yield Invalid
    if "requestBody" in operation:
        yield from (UnreadableBody, TooLarge)
    if "security" in operation:
        yield from (Unauthorized, WrongScope)
    if "{" in path:
        yield NotFound
    yield from (RateLimited, Unavailable)


def _add(responses: dict[Any, Json], kind: type[ServiceError]) -> None:
    response = responses.setdefault(str(kind.status), {"content": {JSON: {"examples": {}}}})
    error = kind()
    body = ErrorBody(error=error.message, code=error.code, details=getattr(kind, "example", error.details))
    response["content"][JSON]["examples"][error.code] = {"summary": error.message, "value": body.model_dump()}
    for name in kind.headers:
        response.setdefault("headers", {})[name] = {"schema": {"type": "string"}}


def _shape(status: int, response: Json, shape: ErrorShape) -> Json:
    """Put the errors of `response` into the dialect's shape, and return its schemas."""
    content = response["content"][JSON]
    examples, reasons = {}, [HTTPStatus(status).phrase]
    for example in content["examples"].values():
        body = shape(status, ErrorBody.model_validate(example["value"]))
        value = body.model_dump()
        code = value.get("code") or value["error"]["code"]
        examples[code] = example | {"value": value}
        reasons.append(f"`{code}`: {example['summary']}")
    schema = type(body).model_json_schema(ref_template=SCHEMAS + "{model}")
    content |= {"examples": examples, "schema": {"$ref": SCHEMAS + type(body).__name__}}
    response["description"] = "\n\n".join(reasons)
    return {**schema.pop("$defs", {}), type(body).__name__: schema}
