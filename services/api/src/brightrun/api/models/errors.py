"""Errors of models."""

from brightrun.runtime.errors import ServiceError


class ModelInUse(ServiceError):
    """A job that is not over starts from the model: wait for its end or cancel it, then delete the model."""

    status = 409
    code = "model_in_use"


class ModelNotFound(ServiceError):
    """There is no such model, or it is not yours; `details` lists what can be fine-tuned."""

    status = 404
    code = "model_not_found"
