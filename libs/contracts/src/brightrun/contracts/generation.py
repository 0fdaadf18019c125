"""Generation with base model and adapter: the request, and the events of the response, token by token."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from brightrun.contracts.training import JobError
from brightrun.contracts.values import Value

Side = Literal["base", "adapter"]

MAX_MESSAGES = 64
MAX_MESSAGE_LENGTH = 32_768
MAX_TOKENS = 512


class Message(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Literal["system", "user", "assistant"]
    content: Annotated[str, Field(min_length=1, max_length=MAX_MESSAGE_LENGTH)]


class Generate(BaseModel):
    """A conversation to be completed by the `sides`, in at most `max_tokens` tokens each; temperature 0 is greedy."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    messages: Annotated[tuple[Message, ...], Field(min_length=1, max_length=MAX_MESSAGES)]
    sides: Annotated[tuple[Side, ...], Field(min_length=1, max_length=2)] = ("base", "adapter")
    max_tokens: Annotated[int, Field(strict=True, ge=1, le=MAX_TOKENS)] = 200
    temperature: Annotated[float, Field(strict=True, ge=0, le=2, allow_inf_nan=False)] = 0.0
    top_p: Annotated[float, Field(strict=True, gt=0, le=1, allow_inf_nan=False)] = 1.0
    seed: Annotated[int, Field(strict=True, ge=0, le=2_147_483_647)] | None = None


class Loading(Value):
    """Base model and adapter are being loaded; the first tokens take longer than the next will."""

    kind: Literal["loading"] = "loading"


class Token(Value):
    """The next piece of text of one side: whole characters of one token or more."""

    kind: Literal["token"] = "token"
    side: Side
    text: str


class Finished(Value):
    """One side has finished: at its end (`stop`), at `max_tokens` (`length`), or because it took too long (`time`)."""

    kind: Literal["finished"] = "finished"
    side: Side
    tokens: int
    reason: Literal["stop", "length", "time"]


class Done(Value):
    """All sides have finished; the last event. `prompt_tokens` is the length of the conversation."""

    kind: Literal["done"] = "done"
    prompt_tokens: int
    seconds: float


class Failed(Value):
    """The generation failed; the last event."""

    kind: Literal["failed"] = "failed"
    error: JobError


GenerationEvent = Annotated[Loading | Token | Finished | Done | Failed, Field(discriminator="kind")]
GENERATION_EVENT: TypeAdapter[GenerationEvent] = TypeAdapter(GenerationEvent)
