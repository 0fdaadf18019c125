"""Answers of neighbours, as far as the gateway shapes them."""

from brightrun.api.http.bodies import Body, JsonObject, Name, Pagination, Passed, example


class DatasetPage(Passed):
    """A page of data sets, newest first."""

    datasets: list[JsonObject]
    pagination: Pagination


class DatasetErrors(Passed):
    """A page of what is wrong with a data set, in the order of its lines."""

    errors: list[JsonObject]
    pagination: Pagination


class RenameDataset(Body):
    """What a data set is called from now on."""

    model_config = example({"name": "Workshop replies"})

    name: Name
