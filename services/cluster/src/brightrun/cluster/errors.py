"""What the cluster refuses, and why it cannot start."""

from brightrun.runtime.errors import ServiceError


class StartupError(Exception):
    """The service cannot start; the message is one line that says why and what to do."""


class NoCapacity(ServiceError):
    """All GPUs are busy; submit the run again when one is free."""

    status = 429
    code = "no_capacity"
    headers = {"Retry-After": "5"}  # noqa: RUF012


class Unsupported(ServiceError):
    """The cluster cannot run that; the details say what it has."""

    status = 400
    code = "unsupported"


class DiskFull(ServiceError):
    """The cluster's disk is almost full; free some space first."""

    status = 507
    code = "disk_full"


class NotCompleted(ServiceError):
    """Only a completed run has files."""

    status = 409
    code = "not_completed"


class BadFileUrl(ServiceError):
    """The file's URL has expired or was changed; ask for the run's artifacts again."""

    status = 403
    code = "bad_file_url"
