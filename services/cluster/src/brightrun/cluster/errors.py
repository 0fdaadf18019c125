"""Why the cluster rejects a request, and why it cannot start."""

from brightrun.contracts.training import JobError
from brightrun.runtime.errors import ServiceError


class StartupError(Exception):
    """The service cannot start; the message is one line that says why and what to do."""


class NotNow(ServiceError):
    """The cluster takes no run at the moment; submit it again later."""

    status = 429
    headers = {"Retry-After": "5"}  # noqa: RUF012


class NoCapacity(NotNow):
    """All GPUs are busy; submit the run again when one is free."""

    code = "no_capacity"


class DiskFull(NotNow):
    """The cluster's disk is almost full; free some space, then submit the run again."""

    code = "disk_full"


class MemoryShort(NotNow):
    """The cluster's memory is almost used up; submit the run again when another has ended."""

    code = "memory_short"


class TooManyRuns(NotNow):
    """The cluster works on as many runs as it may; submit the run again when another has ended."""

    code = "too_many_runs"


class ExecutorUnreachable(NotNow):
    """The cluster cannot reach the machines that train; submit the run again later."""

    code = "executor_unreachable"


class TooManyFollowers(NotNow):
    """Too many readers follow logs already; ask without `follow`, or later."""

    code = "too_many_followers"


class GenerationBusy(NotNow):
    """The cluster tries as many models as it can at once, or this one; ask again in a moment."""

    code = "generation_busy"


class GenerationUnsupported(ServiceError):
    """Models cannot be tried on this cluster: it does not train itself, or is not set up for it."""

    status = 501
    code = "generation_unsupported"


class Unsupported(ServiceError):
    """The cluster cannot run that; the details say what it has."""

    status = 400
    code = "unsupported"


class NotResumable(ServiceError):
    """The run cannot go on from that one; submit it without `resume_from` to begin anew."""

    status = 409
    code = "not_resumable"


class NotCompleted(ServiceError):
    """Only a completed run has files."""

    status = 409
    code = "not_completed"


class Removed(ServiceError):
    """The run's files were removed to make room; they were here for as long as the cluster's settings say."""

    status = 410
    code = "removed"


class BadFileUrl(ServiceError):
    """The file's URL has expired or was changed; ask the cluster for a new one."""

    status = 403
    code = "bad_file_url"


def run_lost(message: str) -> JobError:
    """Why a run fails whose trainers died without a report."""
    advice = "The run's log has its last words; the job can be tried again."
    return JobError(code="run_lost", message=message, advice=advice, retryable=True)


def retryable(code: str, message: str) -> JobError:
    """Why a run fails that may succeed when it is tried again."""
    return JobError(code=code, message=message, advice="Try the job again.", retryable=True)
