"""The price table, as the installation's admins edit it. Jobs keep the prices of their submission."""

from math import ceil
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict

from brightrun.api.actions import prices as actions
from brightrun.api.errors import AdminOnly
from brightrun.api.price_table import STORAGE, Kind, PriceChange
from brightrun.api.queries import prices
from brightrun.api.routes.bounded import BoundedRoute
from brightrun.api.routes.parameters import Admin, Limit, Page
from brightrun.api.routes.refusals import refuses
from brightrun.api.schemas.body import Pagination
from brightrun.api.schemas.prices import PriceHistory, PriceTable, PriceView, SetBaseModel, SetFee, SetGpu
from brightrun.runtime.database import Db, transaction
from brightrun.runtime.http import Envelope

router = APIRouter(
    prefix="/admin/prices", tags=["administration"], route_class=BoundedRoute, responses=refuses(AdminOnly)
)

PRINTABLE = r"^[^\x00-\x20\x7f]+$"
GpuType = Annotated[str, Path(max_length=64, pattern=PRINTABLE, examples=["A100-80GB"])]
BaseModelName = Annotated[str, Path(max_length=256, pattern=PRINTABLE, examples=["Qwen/Qwen2.5-0.5B-Instruct"])]


class Changes(BaseModel):
    """Which changes are wanted."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind | None = None
    name: Annotated[str, Query(max_length=256, pattern=PRINTABLE)] | None = None
    page: Page = 1
    limit: Limit = 20


@router.get("", summary="The whole price table")
async def list_prices(_: Admin, pool: Db) -> Envelope[PriceTable]:
    """What holds now, with what cannot be asked for."""
    return Envelope(data=PriceTable(prices=[PriceView.model_validate(one) for one in await prices.list_current(pool)]))


@router.get("/history", summary="All changes of the price table, newest first")
async def list_price_changes(wanted: Annotated[Changes, Query()], _: Admin, pool: Db) -> Envelope[PriceHistory]:
    """Who changed what, and from when on it held."""
    page, limit = wanted.page, wanted.limit
    changes, total = await prices.list_history(pool, wanted.kind, wanted.name, limit, (page - 1) * limit)
    return Envelope(
        data=PriceHistory(
            changes=[PriceView.model_validate(change) for change in changes],
            pagination=Pagination(page=page, limit=limit, total=total, totalPages=ceil(total / limit)),
        )
    )


@router.put("/gpus/{gpu_type}", summary="Add or change a GPU type")
async def set_gpu(gpu_type: GpuType, body: SetGpu, admin: Admin, pool: Db) -> Envelope[PriceView]:
    """It holds for what is submitted from now on; with `active: false` the type cannot be asked for any more."""
    async with transaction(pool) as conn:
        change = await actions.set_terms(conn, admin.id, "gpu", gpu_type, body.terms(), active=body.active)
    return _answer(change)


@router.put("/base-models/{name:path}", summary="Add or change a base model")
async def set_base_model(name: BaseModelName, body: SetBaseModel, admin: Admin, pool: Db) -> Envelope[PriceView]:
    """Its price, the names that it goes by, and the shape that memory is estimated from."""
    async with transaction(pool) as conn:
        change = await actions.set_terms(conn, admin.id, "base_model", name, body.terms(), active=body.active)
    return _answer(change)


@router.put("/storage", summary="Change the fee for storing a model")
async def set_storage_fee(body: SetFee, admin: Admin, pool: Db) -> Envelope[PriceView]:
    """It is charged once for each job that leaves a model."""
    async with transaction(pool) as conn:
        change = await actions.set_terms(conn, admin.id, "fee", STORAGE, body.terms())
    return _answer(change)


def _answer(change: PriceChange) -> Envelope[PriceView]:
    return Envelope(data=PriceView.model_validate(change))
