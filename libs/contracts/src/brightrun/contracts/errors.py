"""Errors that a caller is told: the class gives the status and the stable code, its docstring the message.

Those here are raised by one service and documented by another that passes them on.
"""

from typing import Any


class ServiceError(Exception):
    """Something went wrong."""

    status = 500
    code = "internal_error"
    headers: dict[str, str] = {}  # noqa: RUF012

    def __init_subclass__(
        cls, *, status: int | None = None, code: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        """`class Busy(ServiceError, status=429, code="busy")`; what is not given is that of the parent."""
        super().__init_subclass__()
        for name, value in (("status", status), ("code", code), ("headers", headers)):
            if value is not None:
                setattr(cls, name, value)

    def __init__(self, details: Any = None) -> None:
        super().__init__(details)
        self.details = details

    @property
    def message(self) -> str:
        """The sentence that the caller reads."""
        return (self.__doc__ or "").strip()


class UploadAborted(ServiceError, status=400, code="upload_aborted"):
    """The upload broke off before its end: nothing is kept of it, send it again."""


class UploadStalled(ServiceError, status=408, code="upload_stalled"):
    """The bytes stopped coming for too long; send them again."""


class UploadTooSlow(ServiceError, status=408, code="upload_too_slow"):
    """The upload is too slow, so that nothing of it is kept: send it faster, or in parts."""


class TooManyUploads(ServiceError, status=429, code="too_many_uploads", headers={"Retry-After": "5"}):
    """The account has as many uploads in progress as it may have: wait until one of them has ended."""


class UploadOver(ServiceError, status=409, code="upload_over"):
    """The upload is over, so that nothing can be done with it any more."""


class UploadMismatch(ServiceError, status=400, code="upload_mismatch"):
    """The parts do not make up the file that was announced."""


class DatasetNotInvalid(ServiceError, status=409, code="dataset_not_invalid"):
    """The data set is not invalid, so there is nothing to leave out."""


class DatasetNotValidated(ServiceError, status=409, code="dataset_not_validated"):
    """The data set is not validated yet: try again in a moment."""


class ModelNotStored(ServiceError, status=409, code="model_not_stored"):
    """The model's files are not all stored, or not what was stored: `status` and `problem` say more."""


class CheckpointGone(ServiceError, status=410, code="checkpoint_gone"):
    """The checkpoint's cluster does not have it any more: choose one that is available, or the job's model."""


class CheckpointsUnsupported(ServiceError, status=409, code="checkpoints_unsupported"):
    """The job's cluster does not offer its checkpoints: wait for the job's model."""


class TooManyCopies(ServiceError, status=429, code="too_many_copies", headers={"Retry-After": "5"}):
    """The account has as many checkpoints being copied as it may have: wait until one of them is stored."""


class ClusterUnavailable(ServiceError, status=502, code="cluster_unavailable", headers={"Retry-After": "5"}):
    """The cluster that has the checkpoint does not answer: try again in a while."""


class GenerationUnsupported(ServiceError, status=409, code="generation_unsupported"):
    """The model's cluster cannot try it: it has no such endpoint, or has removed the model's files to make room."""


class GenerationBusy(ServiceError, status=429, code="generation_busy", headers={"Retry-After": "5"}):
    """The model's cluster tries as many models as it can at once; ask again in a moment."""


class TooManyWebhooks(ServiceError, status=409, code="too_many_webhooks"):
    """The account has as many webhooks as it may have: delete one first."""


class WebhookDisabled(ServiceError, status=409, code="webhook_disabled"):
    """The webhook is disabled: enable it first."""
