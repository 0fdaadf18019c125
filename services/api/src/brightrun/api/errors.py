"""What the gateway refuses, and in which words."""

from brightrun.runtime.errors import ServiceError


class Invalid(ServiceError):
    """Validation error"""

    status = 400
    code = "validation_error"


class SignupClosed(ServiceError):
    """Sign-up is closed on this installation: ask its operator for an account."""

    status = 403
    code = "signup_closed"


class WrongScope(ServiceError):
    """The API key is not allowed to do this: use one with the scope that `details` names."""

    status = 403
    code = "wrong_scope"


class EmailTaken(ServiceError):
    """The e-mail address has an account already: sign in instead."""

    status = 409
    code = "email_taken"


class WrongCredentials(ServiceError):
    """The e-mail address or the password is wrong."""

    status = 401
    code = "wrong_credentials"


class UploadAborted(ServiceError):
    """The upload broke off before its end: nothing is kept of it, send it again."""

    status = 400
    code = "upload_aborted"


class DatasetNotFound(ServiceError):
    """Dataset not found or access denied"""

    status = 404
    code = "dataset_not_found"


class DatasetNotReady(ServiceError):
    """Dataset not ready for training"""

    status = 400
    code = "dataset_not_ready"


class EstimateChanged(ServiceError):
    """The estimate has changed by more than 10 %: look at the new one, then send accept_estimate: true."""

    status = 409
    code = "estimate_changed"


class JobFinished(ServiceError):
    """The job is over: there is nothing left to cancel."""

    status = 409
    code = "job_finished"
