"""HTTP routes of models, which the artifacts service owns."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter, Response
from fastapi.sse import EventSourceResponse

from brightrun.api.accounts.authentication import Reader, Trainer
from brightrun.api.errors import ModelInUse
from brightrun.api.http.bodies import Body, JsonObject, Passed, example
from brightrun.api.http.error_responses import error_responses
from brightrun.api.http.parameters import Clients, Limit, Page
from brightrun.api.models import actions
from brightrun.api.models.generation import SILENCE_SECONDS, as_events
from brightrun.contracts.artifacts import ModelChanges, SignedUrls
from brightrun.contracts.errors import GenerationBusy, GenerationUnsupported, ModelNotStored
from brightrun.contracts.generation import Generate
from brightrun.contracts.pagination import Pagination
from brightrun.runtime.database import Db
from brightrun.runtime.http import BoundedRoute, Envelope


class ChangeModel(ModelChanges, Body):
    """The new name and version of a model; what is not given stays."""

    model_config = example({"name": "Workshop assistant", "version": "2"})


class ModelPage(Passed):
    """A page of models."""

    models: list[JsonObject]
    pagination: Pagination


class DownloadModel(Body):
    """Which files of a model or checkpoint to sign URLs for; all of them unless some are named."""

    model_config = example({"files": ["adapter_model.safetensors"]})

    files: list[str] | None = None


class TryModel(Generate, Body):
    """A conversation for base model and adapter to complete; temperature 0 takes the likeliest token each time."""

    model_config = example(
        {"messages": [{"role": "user", "content": "My chain slips."}], "max_tokens": 120, "temperature": 0.7}
    )


router = APIRouter(prefix="/models", tags=["models"], route_class=BoundedRoute)


@router.get("", summary="Your models")
async def list_models(
    user: Reader,
    pool: Db,
    clients: Clients,
    *,
    page: Page = 1,
    limit: Limit = 12,
    sort: Literal["created_at", "quality", "cost"] = "created_at",
) -> Envelope[ModelPage]:
    """Newest, best or most expensive first."""
    found = await clients.artifacts.get("/models", user.id, page=page, limit=limit, sort=sort)
    await actions.add_presets(pool, user.id, found["models"])
    return Envelope(data=found)


@router.get("/{model_id}", summary="One model")
async def get_model(model_id: UUID, user: Reader, pool: Db, clients: Clients) -> Envelope[JsonObject]:
    """With its files, quality and origin."""
    model = await clients.artifacts.get(f"/models/{model_id}", user.id)
    await actions.add_presets(pool, user.id, [model])
    return Envelope(data=model)


@router.patch("/{model_id}", summary="Rename a model, or give it a version")
async def change_model(
    model_id: UUID, body: ChangeModel, user: Trainer, pool: Db, clients: Clients
) -> Envelope[JsonObject]:
    """Fields that are not given stay."""
    changes = body.model_dump(exclude_none=True)
    model = await clients.artifacts.send("PATCH", f"/models/{model_id}", user.id, json=changes)
    await actions.add_presets(pool, user.id, [model])
    return Envelope(data=model)


@router.delete("/{model_id}", summary="Delete a model", responses=error_responses(ModelNotStored, ModelInUse))
async def delete_model(model_id: UUID, user: Trainer, pool: Db, clients: Clients) -> Envelope[None]:
    """Its files are deleted soon after; its cost records stay. Rejected while it is being stored."""
    await actions.delete_model(pool, clients, user.id, model_id)
    return Envelope(data=None)


@router.post("/{model_id}/download", summary="Where to fetch a model's files")
async def download_model(
    model_id: UUID, user: Reader, clients: Clients, body: DownloadModel | None = None
) -> Envelope[SignedUrls]:
    """Signed URLs that expire."""
    request = (body or DownloadModel()).model_dump(exclude_none=True)
    return Envelope(data=await clients.artifacts.send("POST", f"/models/{model_id}/download", user.id, json=request))


UNBUFFERED = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
GENERATION_RESPONSES: dict[int | str, dict[str, Any]] = {
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
    responses=GENERATION_RESPONSES | error_responses(ModelNotStored, GenerationUnsupported, GenerationBusy),
)
async def try_model(model_id: UUID, body: TryModel, user: Trainer, clients: Clients) -> Response:
    """Both complete the same conversation, token by token, if the model's cluster supports it."""
    async with AsyncExitStack() as opening:
        stream = clients.artifacts.open(
            f"/models/{model_id}/generate", user.id, "POST", SILENCE_SECONDS, json=body.model_dump(mode="json")
        )
        pieces = await opening.enter_async_context(stream)
        opened = opening.pop_all()
    return EventSourceResponse(_close_after(as_events(pieces), opened), headers=UNBUFFERED)


async def _close_after(events: AsyncIterator[bytes], opened: AsyncExitStack) -> AsyncIterator[bytes]:
    async with opened:
        async for event in events:
            yield event
