"""Errors of data sets."""

from brightrun.runtime.errors import ServiceError


class DatasetNotFound(ServiceError):
    """Dataset not found or access denied"""

    status = 404
    code = "dataset_not_found"


class DatasetNotReady(ServiceError):
    """Dataset not ready for training"""

    status = 400
    code = "dataset_not_ready"


class DatasetInUse(ServiceError):
    """A job that is not over needs the data set: wait for its end or cancel it, then delete the data set."""

    status = 409
    code = "dataset_in_use"
