"""What all bodies share."""

import re
from collections.abc import Iterator
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from brightrun.contracts.values import Number

UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
MAX_INTEGER = 2**63 - 1
MAX_VALUES = 20_000
"""Of a body, since every wrong one is listed in the response."""
Location = tuple[str | int, ...]
JsonObject = dict[str, Any]
"""An object whose shape another service owns."""


class Body(BaseModel):
    """A request's body. Unknown fields are rejected, and values that PostgreSQL cannot store."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _reject_unstorable(cls, body: Any) -> Any:
        problems = [
            InitErrorDetails(
                type=PydanticCustomError("unstorable", "{problem}", {"problem": problem}), loc=location, input=None
            )
            for location, problem in _unstorable(body)
        ]
        if problems:
            raise ValidationError.from_exception_data(cls.__name__, problems)
        return body


def _unstorable(body: Any) -> Iterator[tuple[Location, str]]:
    """The problems, and their locations."""
    waiting: list[tuple[Location, Any]] = [((), body)]
    seen = 0
    while waiting:
        location, value = waiting.pop()
        seen += 1
        if seen + len(waiting) > MAX_VALUES:
            yield (), f"a body must not have more than {MAX_VALUES} values"
            return
        if isinstance(value, str) and UNSTORABLE.search(value):
            yield location, "text must not contain NUL or lone surrogates"
        elif isinstance(value, int) and abs(value) > MAX_INTEGER:
            yield location, "whole numbers must fit in 64 bits"
        elif isinstance(value, dict):
            waiting += [(location, name) for name in value]
            waiting += [((*location, ascii(name)[1:-1]), inner) for name, inner in value.items()]
        elif isinstance(value, list):
            waiting += [((*location, number), inner) for number, inner in enumerate(value)]


def example(body: JsonObject) -> ConfigDict:
    """A body's configuration, with an example for the document."""
    return ConfigDict(json_schema_extra={"examples": [body]})


class Passed(BaseModel):
    """A peer service's response, passed on with the fields that it may add."""

    model_config = ConfigDict(extra="allow")


class CostRecord(Passed):
    """One line of the ledger."""

    amount: Number
