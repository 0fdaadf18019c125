"""Models: passed on to the artifacts service, which owns them."""

from typing import Literal
from uuid import UUID

from fastapi import APIRouter

from brightrun.api.actions.removals import check_unused
from brightrun.api.errors import ModelInUse, ModelNotStored
from brightrun.api.routes.bounded import BoundedRoute
from brightrun.api.routes.parameters import Limit, Others, Page, Reader, Trainer
from brightrun.api.routes.refusals import refuses
from brightrun.api.schemas.body import JsonObject
from brightrun.api.schemas.passed import ChangeModel, DownloadModel, Downloads, ModelPage
from brightrun.runtime.database import Db
from brightrun.runtime.http import Envelope

router = APIRouter(prefix="/models", tags=["models"], route_class=BoundedRoute)


@router.get("", summary="Your models")
async def list_models(
    user: Reader,
    others: Others,
    page: Page = 1,
    limit: Limit = 12,
    sort: Literal["created_at", "quality", "cost"] = "created_at",
) -> Envelope[ModelPage]:
    """Newest, best or most expensive first."""
    return Envelope(data=await others.artifacts.get("/models", user.id, page=page, limit=limit, sort=sort))


@router.get("/{model_id}", summary="One model")
async def get_model(model_id: UUID, user: Reader, others: Others) -> Envelope[JsonObject]:
    """Its files, its quality and what it was made from."""
    return Envelope(data=await others.artifacts.get(f"/models/{model_id}", user.id))


@router.patch("/{model_id}", summary="Rename a model, or give it a version")
async def change_model(model_id: UUID, body: ChangeModel, user: Trainer, others: Others) -> Envelope[JsonObject]:
    """What is not given stays as it is."""
    changes = body.model_dump(exclude_none=True)
    return Envelope(data=await others.artifacts.send("PATCH", f"/models/{model_id}", user.id, json=changes))


@router.delete("/{model_id}", summary="Delete a model", responses=refuses(ModelNotStored, ModelInUse))
async def delete_model(model_id: UUID, user: Trainer, pool: Db, others: Others) -> Envelope[None]:
    """Its files go soon after; what it cost stays in the ledger. One that is still being stored is refused."""
    await check_unused(pool, user.id, model_id)
    await others.artifacts.send("DELETE", f"/models/{model_id}", user.id)
    return Envelope(data=None)


@router.post("/{model_id}/download", summary="Where to fetch a model's files")
async def download_model(
    model_id: UUID, user: Reader, others: Others, body: DownloadModel | None = None
) -> Envelope[Downloads]:
    """Signed URLs that expire."""
    wanted = (body or DownloadModel()).model_dump(exclude_none=True)
    return Envelope(data=await others.artifacts.send("POST", f"/models/{model_id}/download", user.id, json=wanted))
