"""Bodies of models."""

from brightrun.api.http.bodies import Body, JsonObject, Passed, example
from brightrun.contracts.artifacts import ModelChanges
from brightrun.contracts.generation import Generate
from brightrun.contracts.pagination import Pagination


class ChangeModel(ModelChanges, Body):
    """The new name and version of a model; what is not given stays."""

    model_config = example({"name": "Workshop assistant", "version": "2"})


class ModelPage(Passed):
    """A page of models."""

    models: list[JsonObject]
    pagination: Pagination


class DownloadModel(Body):
    """Which files of a model to sign URLs for; all of them unless some are named."""

    model_config = example({"files": ["adapter_model.safetensors"]})

    files: list[str] | None = None


class TryModel(Generate, Body):
    """A conversation for base model and adapter to complete; temperature 0 takes the likeliest token each time."""

    model_config = example(
        {"messages": [{"role": "user", "content": "My chain slips."}], "max_tokens": 120, "temperature": 0.7}
    )
