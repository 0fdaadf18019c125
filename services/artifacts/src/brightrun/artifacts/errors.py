"""What the artifacts service refuses, beside what it refuses in one place only."""

from brightrun.runtime.errors import ServiceError


class UploadAborted(ServiceError):
    """The upload ended before its end; nothing of it was kept."""

    status = 400
    code = "upload_aborted"


class UploadTooSlow(ServiceError):
    """The upload took longer than a day, so that nothing of it was kept; send it again."""

    status = 408
    code = "upload_too_slow"


class UploadOver(ServiceError):
    """The upload is over, so that nothing can be done with it any more; `details` says how it ended."""

    status = 409
    code = "upload_over"


class UploadFull(ServiceError):
    """The upload has far more parts than the file that was announced; complete or cancel it."""

    status = 409
    code = "upload_full"


class UploadMismatch(ServiceError):
    """The parts do not make up the file that was announced; `details` says why."""

    status = 400
    code = "upload_mismatch"


class GenerationUnsupported(ServiceError):
    """The model's cluster cannot try it: it has no such endpoint, or has removed the model's files to make room."""

    status = 409
    code = "generation_unsupported"


class GenerationBusy(ServiceError):
    """The model's cluster tries as many models as it can at once; ask again in a moment."""

    status = 429
    code = "generation_busy"
    headers = {"Retry-After": "5"}  # noqa: RUF012


class ModelNotStored(ServiceError):
    """The model's files are not all stored yet; `details` says how it stands."""

    status = 409
    code = "model_not_stored"
