"""Errors of models."""

from brightrun.runtime.errors import ServiceError


class ModelInUse(ServiceError):
    """A job that is not over starts from the model: wait for its end or cancel it, then delete the model."""

    status = 409
    code = "model_in_use"


class ModelNotStored(ServiceError):
    """The model's files are not all stored yet; `details` says how it stands."""

    status = 409
    code = "model_not_stored"


class GenerationUnsupported(ServiceError):
    """The model's cluster cannot try it: it has no such endpoint, or has removed the model's files to make room."""

    status = 409
    code = "generation_unsupported"


class GenerationBusy(ServiceError):
    """The model's cluster tries as many models as it can at once; ask again in a moment."""

    status = 429
    code = "generation_busy"
    headers = {"Retry-After": "5"}  # noqa: RUF012


class ModelNotFound(ServiceError):
    """There is no such model, or it is not yours; `details` lists what can be fine-tuned."""

    status = 404
    code = "model_not_found"
