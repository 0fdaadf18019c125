"""Answers of neighbours, as far as the gateway shapes them."""

from typing import Annotated

from pydantic import StringConstraints

from brightrun.api.http.bodies import Body, JsonObject, Name, Pagination, Passed, example
from brightrun.contracts.generation import Generate


class ChangeModel(Body):
    """What changes of a model; what is not given stays."""

    model_config = example({"name": "Workshop assistant", "version": "2"})

    name: Name | None = None
    version: Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=r"^[^\x00-\x1f\x7f]+$")] | None = (
        None
    )


class ModelPage(Passed):
    """A page of models."""

    models: list[JsonObject]
    pagination: Pagination


class DownloadModel(Body):
    """Which files are wanted; all of them unless some are named."""

    model_config = example({"files": ["adapter_model.safetensors"]})

    files: list[str] | None = None


class Downloads(Passed):
    """Where to fetch each file, for the next `expires_in` seconds."""

    download_urls: dict[str, str]
    expires_in: int


class TryModel(Generate, Body):
    """A conversation to be answered by base model and adapter; temperature 0 takes the likeliest token each time."""

    model_config = example(
        {"messages": [{"role": "user", "content": "My chain slips."}], "max_tokens": 120, "temperature": 0.7}
    )
