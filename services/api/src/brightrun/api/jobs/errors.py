"""Errors of jobs."""

from brightrun.runtime.errors import ServiceError


class EstimateChanged(ServiceError):
    """The estimate has changed by more than 10 %: look at the new one, then send accept_estimate: true."""

    status = 409
    code = "estimate_changed"


class JobFinished(ServiceError):
    """The job is over: there is nothing left to cancel."""

    status = 409
    code = "job_finished"


class JobNotOver(ServiceError):
    """The job is not over: cancel it first, then delete it."""

    status = 409
    code = "job_not_over"


class JobNotPausable(ServiceError):
    """Only a job that waits or runs is paused, and only where its cluster can save it: let it go on, or cancel it."""

    status = 409
    code = "job_not_pausable"


class JobNotPaused(ServiceError):
    """The job is not paused; one that is still being saved can be resumed in a moment."""

    status = 409
    code = "job_not_paused"


class NotRetryable(ServiceError):
    """Only a job that has failed or was cancelled is tried again: clone another one."""

    status = 409
    code = "not_retryable"


class TooManyStreams(ServiceError):
    """Too many streams are open: close one that is not watched any more, or ask for the log instead."""

    status = 429
    code = "too_many_streams"
    headers = {"Retry-After": "5"}  # noqa: RUF012


class KeyReused(ServiceError):
    """The Idempotency-Key was used for another request: send a new key with each new request."""

    status = 422
    code = "idempotency_key_reused"


class KeyInFlight(ServiceError):
    """A request with this Idempotency-Key is still being handled: send it again in a moment."""

    status = 409
    code = "idempotency_in_flight"
    headers = {"Retry-After": "1"}  # noqa: RUF012


class JobDeletedSince(ServiceError):
    """The job that this Idempotency-Key made was deleted: send a new key to submit another."""

    status = 410
    code = "job_deleted"
