"""What a job can be made of."""

from fastapi import APIRouter

from brightrun.api.queries import prices
from brightrun.api.routes.bounded import BoundedRoute
from brightrun.api.routes.parameters import Reader
from brightrun.api.rules.presets import PRESETS
from brightrun.api.schemas.options import Presets, PresetView
from brightrun.api.schemas.prices import BaseModels, BaseModelView, Gpus, GpuView
from brightrun.runtime.database import Db
from brightrun.runtime.http import Envelope

router = APIRouter(tags=["jobs"], route_class=BoundedRoute)


@router.get("/gpus", summary="GPU types and their prices")
async def list_gpus(_: Reader, pool: Db) -> Envelope[Gpus]:
    """Those that can be asked for, cheapest first."""
    return Envelope(data=Gpus(gpus=[GpuView.model_validate(price) for price in await prices.list_gpus(pool)]))


@router.get("/base-models", summary="Base models that can be fine-tuned")
async def list_base_models(_: Reader, pool: Db) -> Envelope[BaseModels]:
    """With the other names that they go by, their own prices, and their shapes."""
    models = [BaseModelView.of(model) for model in await prices.list_base_models(pool)]
    return Envelope(data=BaseModels(base_models=models))


@router.get("/presets", summary="Presets of hyperparameters")
async def list_presets(_: Reader) -> Envelope[Presets]:
    """What each preset fills in."""
    return Envelope(data=Presets(presets=[PresetView.model_validate(preset) for preset in PRESETS]))
