"""HTTP routes of prices, presets and estimates, and of the price table's administration."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict

from brightrun.api.accounts.authentication import Admin, Reader
from brightrun.api.datasets import queries as datasets
from brightrun.api.datasets.actions import fetch_dataset
from brightrun.api.datasets.models import Dataset
from brightrun.api.errors import AdminOnly, DatasetNotFound, Untrainable
from brightrun.api.http.clients import ServiceClients
from brightrun.api.http.error_responses import error_responses
from brightrun.api.http.parameters import Clients, Limit, Page
from brightrun.api.pricing import actions, queries, runnability, schemas
from brightrun.api.pricing.gpu_check import GpuCheckedRoute
from brightrun.api.pricing.models import STORAGE, Kind, PriceChange
from brightrun.api.pricing.prices import PRESETS
from brightrun.contracts.pagination import Pagination
from brightrun.runtime.database import Db, Pool, transaction
from brightrun.runtime.http import BoundedRoute, Envelope

router = APIRouter(tags=["jobs"], route_class=GpuCheckedRoute)


@router.get("/gpus", summary="GPU types and their prices")
async def list_gpus(_: Reader, pool: Db, clients: Clients) -> Envelope[schemas.Gpus]:
    """The active ones, cheapest first, and whether a job with one could start now, later or never."""
    clusters = clients.cluster_reports.clusters
    gpus = [
        schemas.GpuView(**dict(gpu), available=runnability.availability_of_gpu(gpu.type, clusters))
        for gpu in await queries.list_gpus(pool)
    ]
    return Envelope(data=schemas.Gpus(gpus=gpus))


@router.get("/base-models", summary="Base models that can be fine-tuned")
async def list_base_models(_: Reader, pool: Db, clients: Clients) -> Envelope[schemas.BaseModels]:
    """With their aliases, own prices and shapes, and whether a cluster has them now, later or never."""
    clusters = clients.cluster_reports.clusters
    models = [
        schemas.BaseModelView.of(model, runnability.availability_of_model(model.name, clusters))
        for model in await queries.list_base_models(pool)
    ]
    return Envelope(data=schemas.BaseModels(base_models=models))


@router.get("/presets", summary="Presets of hyperparameters")
async def list_presets(_: Reader) -> Envelope[schemas.Presets]:
    """With the hyperparameters that they provide."""
    return Envelope(data=schemas.Presets(presets=list(PRESETS)))


@router.post(
    "/jobs/estimate",
    summary="What a training will cost and take",
    responses=error_responses(DatasetNotFound, Untrainable),
)
async def estimate_job(
    body: schemas.EstimateJob, user: Reader, pool: Db, clients: Clients
) -> Envelope[schemas.Estimate]:
    """USD and hours, the memory per GPU type, and the error of past estimates."""
    dataset = await _find_dataset(pool, clients, user.id, body.dataset_id)
    async with transaction(pool) as conn:
        estimate = await actions.estimate(conn, body, dataset, clients.cluster_reports.clusters)
    return Envelope(data=estimate)


async def _find_dataset(pool: Pool, clients: ServiceClients, user_id: UUID, dataset_id: UUID) -> Dataset:
    """From the projection, or else from the artifacts service."""
    known, _ = await datasets.find_datasets(pool, user_id, [dataset_id])
    dataset = known.get(dataset_id) or await fetch_dataset(clients.artifacts, user_id, dataset_id)
    if dataset is None:
        raise DatasetNotFound
    return dataset


admin = APIRouter(
    prefix="/admin/prices", tags=["administration"], route_class=BoundedRoute, responses=error_responses(AdminOnly)
)
PRINTABLE = r"^[^\x00-\x20\x7f]+$"
GpuType = Annotated[str, Path(max_length=64, pattern=PRINTABLE, examples=["A100-80GB"])]
BaseModelName = Annotated[str, Path(max_length=256, pattern=PRINTABLE, examples=["Qwen/Qwen2.5-0.5B-Instruct"])]


class JournalQuery(BaseModel):
    """Filters of the journal."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind | None = None
    name: Annotated[str, Query(max_length=256, pattern=PRINTABLE)] | None = None
    page: Page = 1
    limit: Limit = 20


@admin.get("", summary="The whole price table")
async def list_prices(_: Admin, pool: Db) -> Envelope[schemas.PriceTable]:
    """All rows in force, inactive ones included."""
    return Envelope(data=schemas.PriceTable(prices=await queries.list_current(pool)))


@admin.get("/history", summary="All changes of the price table, newest first")
async def list_price_changes(
    query: Annotated[JournalQuery, Query()], _: Admin, pool: Db
) -> Envelope[schemas.PriceHistory]:
    """Who changed what, and when."""
    page, limit = query.page, query.limit
    changes, total = await queries.list_history(pool, query.kind, query.name, limit, (page - 1) * limit)
    return Envelope(
        data=schemas.PriceHistory(
            changes=changes,
            pagination=Pagination.of(page, limit, total),
        )
    )


@admin.put("/gpus/{gpu_type}", summary="Add or change a GPU type")
async def set_gpu(gpu_type: GpuType, body: schemas.SetGpu, admin: Admin, pool: Db) -> Envelope[PriceChange]:
    """For jobs submitted from now on. With `active: false` no new job can use the type."""
    async with transaction(pool) as conn:
        change = await actions.set_terms(conn, admin, "gpu", gpu_type, body.terms(), active=body.active)
    return Envelope(data=change)


@admin.put("/base-models/{name:path}", summary="Add or change a base model")
async def set_base_model(
    name: BaseModelName, body: schemas.SetBaseModel, admin: Admin, pool: Db
) -> Envelope[PriceChange]:
    """Its price, its aliases, and its shape for memory estimates."""
    async with transaction(pool) as conn:
        change = await actions.set_terms(conn, admin, "base_model", name, body.terms(), active=body.active)
    return Envelope(data=change)


@admin.put("/storage", summary="Change the fee for storing a model")
async def set_storage_fee(body: schemas.SetFee, admin: Admin, pool: Db) -> Envelope[PriceChange]:
    """Charged once for each job that stores a model."""
    async with transaction(pool) as conn:
        change = await actions.set_terms(conn, admin, "fee", STORAGE, body.terms())
    return Envelope(data=change)
