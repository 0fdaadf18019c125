"""The error shape."""

from pydantic import BaseModel, ConfigDict


class ErrorView(BaseModel):
    """Why a request was refused. `param` is the field that is wrong, `code` is stable."""

    model_config = ConfigDict(from_attributes=True)

    message: str
    type: str
    param: str | None
    code: str


class ErrorAnswer(BaseModel):
    """What every refused request answers with."""

    error: ErrorView
