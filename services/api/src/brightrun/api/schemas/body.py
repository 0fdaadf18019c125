"""What all bodies have in common."""

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, PlainSerializer, model_validator

UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

Number = Annotated[Decimal, PlainSerializer(float, return_type=float, when_used="json")]
"""Decimal inside, a JSON number outside, as the original's clients expect."""

JsonObject = dict[str, Any]
"""An object whose shape another service owns."""


class Body(BaseModel):
    """A request's body: unknown fields are refused, and so is text that is no text."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _refuse_unstorable_text(cls, body: Any) -> Any:
        waiting = [body]
        while waiting:
            value = waiting.pop()
            if isinstance(value, str) and UNSTORABLE.search(value):
                raise ValueError("text must not contain NUL or lone surrogates")
            if isinstance(value, dict):
                waiting += [*value.keys(), *value.values()]
            elif isinstance(value, list):
                waiting += value
        return body


class Pagination(BaseModel):
    """Where a page lies among all."""

    page: int
    limit: int
    total: int
    totalPages: int  # noqa: N815 - the original's name


class Refusal(BaseModel):
    """What every refused call answers with: a sentence, a stable code, and what is wrong in particular."""

    error: str
    code: str
    details: Any = None
