"""Answers of neighbours, as far as the gateway shapes them."""

from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, PlainSerializer, StringConstraints

from brightrun.api.schemas.body import Body, JsonObject, Number, Pagination, example
from brightrun.contracts.generation import Generate
from brightrun.contracts.values import to_cents

Cents = Annotated[Decimal, AfterValidator(to_cents), PlainSerializer(float, return_type=float, when_used="json")]


class Passed(BaseModel):
    """An answer that is passed on: what its owner adds to it comes through as well."""

    model_config = ConfigDict(extra="allow")


class CostRecord(Passed):
    """One line of the ledger."""

    amount: Number


class DayCost(BaseModel):
    """What one day cost, in USD."""

    date: str
    amount: Number


class Costs(Passed):
    """The ledger of a period, in USD; the total to two places, all else to four."""

    total_cost: Cents
    cost_by_type: dict[str, Number]
    chart_data: list[DayCost]
    records: list[CostRecord]


class DatasetPage(Passed):
    """A page of data sets, newest first."""

    datasets: list[JsonObject]
    pagination: Pagination


class DatasetErrors(Passed):
    """A page of what is wrong with a data set, in the order of its lines."""

    errors: list[JsonObject]
    pagination: Pagination


Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$"),
]


class RenameDataset(Body):
    """What a data set is called from now on."""

    model_config = example({"name": "Workshop replies"})

    name: Name


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


class Notifications(Passed):
    """The newest notifications, and how many are unread in all."""

    notifications: list[JsonObject]
    unread_count: int
