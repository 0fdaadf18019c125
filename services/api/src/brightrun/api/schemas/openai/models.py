"""Models."""

from typing import Literal

from pydantic import BaseModel


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
