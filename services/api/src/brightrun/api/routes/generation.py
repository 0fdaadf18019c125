"""Models, tried: what base model and adapter answer, while they say it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response
from fastapi.sse import EventSourceResponse

from brightrun.api.answers import SILENCE_SECONDS, as_events
from brightrun.api.errors import GenerationBusy, GenerationUnsupported, ModelNotStored
from brightrun.api.routes.bounded import BoundedRoute
from brightrun.api.routes.parameters import Others, Trainer
from brightrun.api.routes.refusals import refuses
from brightrun.api.schemas.passed import TryModel

router = APIRouter(prefix="/models", tags=["models"], route_class=BoundedRoute)

UNBUFFERED = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
GENERATION_EVENT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-Sent Events: `loading`, if the model has to be loaded first; `token`, the next piece of "
        "a side's text; `finished`, a side is through, and why; at last `done`, or `failed` with the error",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": 'event: token\ndata: {"side":"adapter","text":"Let us"}\n\n'
                'event: finished\ndata: {"side":"adapter","tokens":31,"reason":"stop"}\n\n'
                'event: done\ndata: {"prompt_tokens":12,"seconds":1.9}\n\n',
            }
        },
    },
}


@router.post(
    "/{model_id}/generate",
    summary="Try a model beside its base model",
    response_class=Response,
    responses=GENERATION_EVENT | refuses(ModelNotStored, GenerationUnsupported, GenerationBusy),
)
async def try_model(model_id: UUID, body: TryModel, user: Trainer, others: Others) -> Response:
    """What both answer to the same conversation, side by side and token by token, where the model's cluster can."""
    async with AsyncExitStack() as opening:
        asked = others.artifacts.open(
            f"/models/{model_id}/generate", user.id, "POST", SILENCE_SECONDS, json=body.model_dump(mode="json")
        )
        pieces = await opening.enter_async_context(asked)
        opened = opening.pop_all()
    return EventSourceResponse(_close_after(as_events(pieces), opened), headers=UNBUFFERED)


async def _close_after(events: AsyncIterator[bytes], opened: AsyncExitStack) -> AsyncIterator[bytes]:
    async with opened:
        async for event in events:
            yield event
