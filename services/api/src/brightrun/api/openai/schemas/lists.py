"""Lists of the dialect, and models."""

from collections.abc import Sequence
from typing import Annotated, Generic, Literal, Self, TypeVar

from fastapi import Query
from pydantic import BaseModel

T = TypeVar("T")
After = Annotated[str | None, Query(max_length=200, description="the id that the part before ended with")]


class ListOf(BaseModel, Generic[T]):
    """A part of a list; `has_more` if items follow it."""

    object: Literal["list"] = "list"
    data: list[T]
    has_more: bool

    @classmethod
    def of(cls, found: Sequence[T], limit: int) -> Self:
        """From up to `limit + 1` items."""
        return cls(data=list(found[:limit]), has_more=len(found) > limit)


class Deleted(BaseModel):
    """A deleted object."""

    id: str
    object: str
    deleted: bool = True


class Model(BaseModel):
    """A base model of this installation, or a fine-tuned one of yours; `created` in Unix seconds."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class Models(BaseModel):
    """All models."""

    object: Literal["list"] = "list"
    data: list[Model]
