"""What a job can be made of."""

from fastapi import APIRouter

from brightrun.api.queries import prices
from brightrun.api.routes.bounded import BoundedRoute
from brightrun.api.routes.parameters import Reader
from brightrun.api.rules.presets import PRESETS
from brightrun.api.schemas.options import Gpus, GpuView, Presets, PresetView
from brightrun.runtime.http import Answer, Db

router = APIRouter(tags=["jobs"], route_class=BoundedRoute)


@router.get("/gpus", summary="GPU types and their prices")
async def list_gpus(_: Reader, pool: Db) -> Answer[Gpus]:
    """The price table, cheapest first."""
    return Answer(data=Gpus(gpus=[GpuView.model_validate(price) for price in await prices.list_gpus(pool)]))


@router.get("/presets", summary="Presets of hyperparameters")
async def list_presets(_: Reader) -> Answer[Presets]:
    """What each preset fills in."""
    return Answer(data=Presets(presets=[PresetView.model_validate(preset) for preset in PRESETS]))
