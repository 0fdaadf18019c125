"""Bodies of data sets."""

from brightrun.api.http.bodies import Body, JsonObject, Passed, example
from brightrun.contracts.artifacts import DatasetChanges
from brightrun.contracts.pagination import Pagination


class DatasetPage(Passed):
    """A page of data sets, newest first."""

    datasets: list[JsonObject]
    pagination: Pagination


class DatasetErrors(Passed):
    """A page of a data set's validation errors, in the order of its lines."""

    errors: list[JsonObject]
    pagination: Pagination


class RenameDataset(DatasetChanges, Body):
    """The new name of a data set."""

    model_config = example({"name": "Workshop replies"})
