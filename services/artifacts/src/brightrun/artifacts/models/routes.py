"""Models: list, detail, signed URLs of their files."""

from uuid import UUID

from fastapi import APIRouter

from brightrun.artifacts.dependencies import Configured, PageOf, Store
from brightrun.artifacts.keys import CLUSTER_URL_LIFETIME, MODELS, model_key
from brightrun.artifacts.models import actions, queries
from brightrun.artifacts.models.queries import Sort
from brightrun.artifacts.models.schemas import ModelDetail, Models, ModelView
from brightrun.contracts.artifacts import DownloadRequest, ModelChanges, SignedUrls
from brightrun.contracts.events import adapter_files
from brightrun.runtime.database import Db, transaction
from brightrun.runtime.errors import NotFound, ServiceError
from brightrun.runtime.http import Envelope
from brightrun.runtime.tokens import CallerOf

router = APIRouter(prefix="/models")


class UnknownFiles(ServiceError, status=400, code="unknown_files"):
    """The model has no files of these names."""


@router.get("")
async def list_models(page: PageOf, caller: CallerOf, pool: Db, sort: Sort = "created_at") -> Envelope[Models]:
    """The user's models: newest, best or dearest first."""
    rows = await queries.list_models(pool, caller.user, sort, page.offset, page.limit)
    files = await queries.list_files(pool, [row.id for row in rows])
    total = await queries.count_models(pool, caller.user)
    views = [ModelView.of(row, files[row.id]) for row in rows]
    return Envelope(data=Models(models=views, pagination=page.of(total)))


@router.get("/{model_id}")
async def get_model(model_id: UUID, caller: CallerOf, pool: Db) -> Envelope[ModelDetail]:
    """One model, with all that is told of it."""
    model = await actions.find_model(pool, caller.user, model_id)
    view = ModelView.of(model, (await queries.list_files(pool, [model_id]))[model_id])
    return Envelope(data=ModelDetail(**dict(view), report=await queries.find_report(pool, model_id)))


@router.patch("/{model_id}")
async def change_model(model_id: UUID, body: ModelChanges, caller: CallerOf, pool: Db) -> Envelope[ModelView]:
    """Call a model something else, or give it another version."""
    async with transaction(pool) as conn:
        model = await queries.update_model(conn, caller.user, model_id, body.name, body.version)
    if model is None:
        raise NotFound
    return Envelope(data=ModelView.of(model, (await queries.list_files(pool, [model_id]))[model_id]))


@router.delete("/{model_id}")
async def delete_model(model_id: UUID, caller: CallerOf, pool: Db) -> Envelope[None]:
    """Forget a model and its files."""
    async with transaction(pool) as conn:
        await actions.delete_model(conn, caller.user, model_id)
    return Envelope(data=None)


@router.post("/{model_id}/download")
async def sign_files(
    *, model_id: UUID, body: DownloadRequest, caller: CallerOf, pool: Db, store: Store, settings: Configured
) -> Envelope[SignedUrls]:
    """A URL for each file that is wanted."""
    model = await actions.find_stored_model(pool, caller.user, model_id)
    known = [file.name for file in (await queries.list_files(pool, [model_id]))[model_id]]
    requested = known if body.files is None else body.files
    if unknown := sorted(set(requested) - set(known)):
        raise UnknownFiles({"unknown": unknown, "files": known})
    urls = {
        name: store.sign(MODELS, model_key(model.user_id, model.id, name), settings.download_url_lifetime)
        for name in requested
    }
    return Envelope(data=SignedUrls(download_urls=urls, expires_in=settings.download_url_seconds))


@router.get("/{model_id}/adapter")
async def sign_adapter(model_id: UUID, caller: CallerOf, pool: Db, store: Store) -> Envelope[SignedUrls]:
    """URLs that a cluster fetches the model's adapter from, to go on with it."""
    model = await actions.find_stored_model(pool, caller.user, model_id)
    files = adapter_files((await queries.list_files(pool, [model_id]))[model_id])
    urls = {
        file.name: store.sign(MODELS, model_key(model.user_id, model.id, file.name), CLUSTER_URL_LIFETIME)
        for file in files
    }
    return Envelope(data=SignedUrls(download_urls=urls, expires_in=int(CLUSTER_URL_LIFETIME.total_seconds())))
