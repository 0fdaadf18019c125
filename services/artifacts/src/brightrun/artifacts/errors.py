"""What the artifacts service refuses, beside what it refuses in one place only."""

from brightrun.runtime.errors import ServiceError


class UploadTooSlow(ServiceError):
    """The upload took longer than a day, so that nothing of it was kept; send it again."""

    status = 408
    code = "upload_too_slow"


class UploadFull(ServiceError):
    """The upload has far more parts than the file that was announced; complete or cancel it."""

    status = 409
    code = "upload_full"
