"""Bodies of what a job can be made of."""

from pydantic import BaseModel, ConfigDict

from brightrun.api.models import PresetId
from brightrun.api.schemas.body import JsonObject, Number


class GpuView(BaseModel):
    """A GPU type: USD an hour and tokens a second, for one."""

    model_config = ConfigDict(from_attributes=True)

    type: str
    price_per_hour: Number
    tokens_per_second: int


class Gpus(BaseModel):
    """The price table."""

    gpus: list[GpuView]


class PresetView(BaseModel):
    """A named choice of hyperparameters."""

    model_config = ConfigDict(from_attributes=True)

    id: PresetId
    name: str
    description: str
    details: str
    hyperparameters: JsonObject


class Presets(BaseModel):
    """All presets."""

    presets: list[PresetView]
