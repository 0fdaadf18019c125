"""Models: list, detail, download."""

from uuid import UUID

from fastapi import APIRouter, Request, Response

from brightrun.web import pages
from brightrun.web.api import SignedIn

router = APIRouter(prefix="/models")


@router.get("")
async def show_models(request: Request, api: SignedIn, page: int = 1) -> Response:
    """What was trained, newest first."""
    return await pages.show(request, api, "models.html", **await api.get("/api/models", page=page))


@router.get("/{model_id}")
async def show_model(request: Request, api: SignedIn, model_id: UUID) -> Response:
    """One model: how good it is, and its files."""
    return await pages.show(request, api, "model.html", model=await api.get(f"/api/models/{model_id}"))


@router.get("/{model_id}/files/{name:path}")
async def download_file(api: SignedIn, model_id: UUID, name: str) -> Response:
    """To the file, by a signed URL that is made when it is needed."""
    links = await api.send("POST", f"/api/models/{model_id}/download", {"files": [name]})
    return pages.go(links["download_urls"][name])
