"""What all bodies have in common."""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    PlainSerializer,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
LARGEST = 2**63 - 1
MAX_VALUES = 20_000
"""Of a body: each may be wrong, and all that is wrong is answered."""
Number = Annotated[Decimal, PlainSerializer(float, return_type=float, when_used="json")]
"""Decimal inside, a JSON number outside, as the original's clients expect."""
Place = tuple[str | int, ...]
JsonObject = dict[str, Any]
"""An object whose shape another service owns."""


class Body(BaseModel):
    """A request's body: unknown fields are refused, and so is what could not be stored whatever it means."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _refuse_unstorable(cls, body: Any) -> Any:
        problems = [
            InitErrorDetails(
                type=PydanticCustomError("unstorable", "{problem}", {"problem": problem}), loc=place, input=None
            )
            for place, problem in _unstorable(body)
        ]
        if problems:
            raise ValidationError.from_exception_data(cls.__name__, problems)
        return body


def _unstorable(body: Any) -> Iterator[tuple[Place, str]]:
    """What is wrong, and where."""
    waiting: list[tuple[Place, Any]] = [((), body)]
    seen = 0
    while waiting:
        place, value = waiting.pop()
        seen += 1
        if seen + len(waiting) > MAX_VALUES:
            yield (), f"a body must not have more than {MAX_VALUES} values"
            return
        if isinstance(value, str) and UNSTORABLE.search(value):
            yield place, "text must not contain NUL or lone surrogates"
        elif isinstance(value, int) and abs(value) > LARGEST:
            yield place, "whole numbers must fit in 64 bits"
        elif isinstance(value, dict):
            waiting += [(place, name) for name in value]
            waiting += [((*place, ascii(name)[1:-1]), inner) for name, inner in value.items()]
        elif isinstance(value, list):
            waiting += [((*place, number), inner) for number, inner in enumerate(value)]


def example(body: JsonObject) -> ConfigDict:
    """A body's configuration, with an example for the document."""
    return ConfigDict(json_schema_extra={"examples": [body]})


class Passed(BaseModel):
    """An answer that is passed on: what its owner adds to it comes through as well."""

    model_config = ConfigDict(extra="allow")
