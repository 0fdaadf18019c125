"""What operations may refuse with, as the OpenAPI document tells it."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from brightrun.api.errors import Invalid, RateLimited, TooLarge, UnreadableBody, Untrainable, WrongScope
from brightrun.api.schemas.body import Refusal
from brightrun.runtime.errors import NotFound, ServiceError, Unauthorized, Unavailable

Json = dict[str, Any]
Responses = dict[int | str, Json]

JSON = "application/json"
SCHEMAS = "#/components/schemas/"
DETAILS: dict[type[ServiceError], Any] = {
    Invalid: {"gpu_config.count": ["Input should be less than or equal to 8"]},
    Untrainable: {"hyperparameters.quantization": ["nf4 needs an NVIDIA GPU, and CPU is none: use none"]},
    WrongScope: {"needed": ["train"]},
}
"""What `details` look like, of those that have any."""


Tell = Callable[[int, Refusal], BaseModel]
"""The answer that a face makes of a refusal with a status."""


def refuses(*errors: type[ServiceError]) -> Responses:
    """A route's `responses`: what it refuses with beside what its shape tells by itself."""
    responses: Responses = {}
    for error in errors:
        _add(responses, error)
    return responses


def describe(app: FastAPI, tell: Tell = lambda _, refusal: refusal) -> None:
    """Let the app's document name every answer of every operation; `tell` gives refusals the face's own shape."""
    generate = app.openapi

    def openapi() -> Json:
        if app.openapi_schema is None:
            app.openapi_schema = complete(generate(), tell)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def complete(document: Json, tell: Tell) -> Json:
    """Add to each operation the refusals that follow from its shape."""
    schemas = document["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            responses = deepcopy(operation["responses"])  # routes share them
            if "HTTPValidationError" in str(responses.get("422")):
                del responses["422"]
            for error in _usual(path, operation):
                _add(responses, error)
            for status, answer in responses.items():
                if status >= "400":
                    schemas |= _tell(int(status), answer, tell)
            operation["responses"] = dict(sorted(responses.items()))
    return document


def _usual(path: str, operation: Json) -> Iterator[type[ServiceError]]:
    if "requestBody" in operation or "parameters" in operation:
        yield Invalid
    if "requestBody" in operation:
        yield from (UnreadableBody, TooLarge)
    if "security" in operation:
        yield from (Unauthorized, WrongScope)
    if "{" in path:
        yield NotFound
    yield from (RateLimited, Unavailable)


def _add(responses: dict[Any, Json], error: type[ServiceError]) -> None:
    answer = responses.setdefault(str(error.status), {"content": {JSON: {"examples": {}}}})
    told = error()
    value = Refusal(error=told.message, code=told.code, details=DETAILS.get(error, told.details))
    answer["content"][JSON]["examples"][told.code] = {"summary": told.message, "value": value.model_dump()}
    for name in error.headers:
        answer.setdefault("headers", {})[name] = {"schema": {"type": "string"}}


def _tell(status: int, answer: Json, tell: Tell) -> Json:
    """Put the refusals of `answer` into the face's shape, and return the schemas of that."""
    content = answer["content"][JSON]
    examples, reasons = {}, [HTTPStatus(status).phrase]
    for example in content["examples"].values():
        told = tell(status, Refusal.model_validate(example["value"]))
        value = told.model_dump()
        code = value.get("code") or value["error"]["code"]
        examples[code] = example | {"value": value}
        reasons.append(f"`{code}`: {example['summary']}")
    schema = type(told).model_json_schema(ref_template=SCHEMAS + "{model}")
    content |= {"examples": examples, "schema": {"$ref": SCHEMAS + type(told).__name__}}
    answer["description"] = "\n\n".join(reasons)
    return {**schema.pop("$defs", {}), type(told).__name__: schema}
