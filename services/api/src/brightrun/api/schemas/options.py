"""Bodies of what a job can be made of."""

from pydantic import BaseModel, ConfigDict

from brightrun.api.models import PresetId
from brightrun.api.schemas.body import JsonObject


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
