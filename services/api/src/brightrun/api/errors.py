"""All errors that the gateway itself raises: the class gives status and code, its docstring the message."""

from math import ceil
from typing import Any, ClassVar

from brightrun.runtime.errors import ServiceError


class Invalid(ServiceError, status=400, code="validation_error"):
    """Validation error"""

    example: ClassVar[Any] = {"gpu_config.count": ["Input should be less than or equal to 8"]}


class WrongScope(ServiceError, status=403, code="wrong_scope"):
    """The token is not allowed to do this: use one with the scope that is needed."""

    example: ClassVar[Any] = {"needed": ["train"]}


class RateLimited(ServiceError, status=429, code="rate_limited", headers={"Retry-After": "1"}):
    """Too many requests: wait for as many seconds as Retry-After says, then go on more slowly."""

    def __init__(self, seconds: float = 1) -> None:
        wait = max(1, ceil(seconds))
        super().__init__({"retry_after": wait})
        self.headers = {"Retry-After": str(wait)}


class UnreadableBody(ServiceError, status=400, code="unreadable_body"):
    """There was an error parsing the body"""


class TooLarge(ServiceError, status=413, code="too_large"):
    """The body is larger than 1048576 bytes."""


class SignupClosed(ServiceError, status=403, code="signup_closed"):
    """Sign-up is closed on this installation: ask its operator for an account."""


class AdminOnly(ServiceError, status=403, code="admin_only"):
    """Only an admin of this installation may do this."""


class AccountDisabled(ServiceError, status=403, code="account_disabled"):
    """The account is disabled: ask an admin of this installation."""


class LastAdmin(ServiceError, status=409, code="last_admin"):
    """No active admin would be left: make somebody else admin first."""


class NoPassword(ServiceError, status=409, code="no_password"):
    """The account signs in with the identity provider and has no password: ask an admin to set one."""


class NotASession(ServiceError, status=400, code="not_a_session"):
    """Only a session can be signed out of: an API key is revoked instead."""


class TooManyKeys(ServiceError, status=409, code="too_many_keys"):
    """The account has as many API keys as it may have: revoke one first."""


class TooManyLoginAttempts(RateLimited, code="too_many_tries"):
    """Too many attempts: wait for as many seconds as Retry-After says, then try again."""


class NoIdentityProvider(ServiceError, status=404, code="no_identity_provider"):
    """No identity provider is set up on this installation: sign in with a password."""


class SignInBroken(ServiceError, status=400, code="sign_in_broken"):
    """The sign-in was begun in another browser, took too long, or was answered wrongly: begin it again."""


class SignInRefused(ServiceError, status=403, code="sign_in_refused"):
    """The identity provider did not let you sign in."""


class EmailNotVerified(ServiceError, status=403, code="email_not_verified"):
    """The identity provider has not verified your e-mail address, so it tells no account."""


class EmailNotAdmitted(ServiceError, status=403, code="email_not_admitted"):
    """Addresses of this domain may not sign in to this installation."""


class WrongCode(ServiceError, status=400, code="wrong_code"):
    """The code is unknown, used, expired, or not for this verifier: sign in again."""


class EmailTaken(ServiceError, status=409, code="email_taken"):
    """The e-mail address has an account already: sign in instead."""


class WrongCredentials(ServiceError, status=401, code="wrong_credentials"):
    """The e-mail address or the password is wrong."""


class DatasetNotFound(ServiceError, status=404, code="dataset_not_found"):
    """Dataset not found or access denied"""


class DatasetNotReady(ServiceError, status=400, code="dataset_not_ready"):
    """Dataset not ready for training"""


class DatasetInUse(ServiceError, status=409, code="dataset_in_use"):
    """A job that is not over needs the data set: wait for its end or cancel it, then delete the data set."""


class EstimateChanged(ServiceError, status=409, code="estimate_changed"):
    """The estimate has changed by more than 10 %: look at the new one, then send accept_estimate: true."""


class JobFinished(ServiceError, status=409, code="job_finished"):
    """The job is over: there is nothing left to cancel."""


class JobNotOver(ServiceError, status=409, code="job_not_over"):
    """The job is not over: cancel it first, then delete it."""


class JobNotPausable(ServiceError, status=409, code="job_not_pausable"):
    """Only a job that waits or runs is paused, and only where its cluster can save it: let it go on, or cancel it."""


class JobNotFinishable(ServiceError, status=409, code="job_not_finishable"):
    """Only a job that trains is finished early, and only where its cluster can: wait for its GPUs, or cancel it."""


class JobNotPaused(ServiceError, status=409, code="job_not_paused"):
    """The job is not paused; one that is still being saved can be resumed in a moment."""


class NoCheckpoint(ServiceError, status=409, code="no_checkpoint"):
    """The job has no checkpoint any more that another could go on from: retry it from the beginning."""


class CheckpointNotFound(ServiceError, status=404, code="checkpoint_not_found"):
    """The job has no such checkpoint: see the list of its checkpoints."""


class CheckpointPending(ServiceError, status=409, code="checkpoint_pending", headers={"Retry-After": "5"}):
    """The checkpoint is being copied from its cluster: send the request again in a moment."""


class CheckpointNotCopied(ServiceError, status=502, code="checkpoint_not_copied"):
    """The checkpoint could not be copied from its cluster: send the request again, or choose another one."""


class NotRetryable(ServiceError, status=409, code="not_retryable"):
    """Only a job that has failed or was cancelled is tried again: clone another one."""


class TooManyStreams(ServiceError, status=429, code="too_many_streams", headers={"Retry-After": "5"}):
    """Too many streams are open: close one that is not watched any more, or ask for the log instead."""


class KeyReused(ServiceError, status=422, code="idempotency_key_reused"):
    """The Idempotency-Key was used for another request: send a new key with each new request."""


class KeyInFlight(ServiceError, status=409, code="idempotency_in_flight", headers={"Retry-After": "1"}):
    """A request with this Idempotency-Key is still being handled: send it again in a moment."""


class JobDeletedSince(ServiceError, status=410, code="job_deleted"):
    """The job that this Idempotency-Key made was deleted: send a new key to submit another."""


class Untrainable(Invalid, code="untrainable"):
    """The training cannot be done as it is asked for."""

    example: ClassVar[Any] = {"hyperparameters.quantization": ["nf4 needs an NVIDIA GPU, and CPU is none: use none"]}


class NotRunnable(Invalid, code="not_runnable"):
    """No cluster of this installation can ever run the job."""

    example: ClassVar[Any] = {"gpu_config.type": ["no cluster has H100: there are CPU"]}


class ModelInUse(ServiceError, status=409, code="model_in_use"):
    """A job that is not over starts from the model: wait for its end or cancel it, then delete the model."""


class ModelNotFound(ServiceError, status=404, code="model_not_found"):
    """There is no such model, or it is not yours."""


class Unsupported(ServiceError, status=400, code="unsupported_parameter"):
    """The request asks for something that this platform does not do."""


class WebhookUnreachable(ServiceError, status=400, code="webhook_unreachable"):
    """The webhook's receiver gave no answer."""


class FileNotFound(ServiceError, status=404, code="file_not_found"):
    """There is no such file, or it is not yours."""


class UploadNotFound(ServiceError, status=404, code="upload_not_found"):
    """There is no such upload, or it is not yours."""


class BaseModelKept(ServiceError, status=403, code="base_model_kept"):
    """A base model belongs to the installation: only models that you have fine-tuned can be deleted."""


class ResultsKept(ServiceError, status=409, code="results_kept"):
    """A results file is made from what its job measured: it goes when the job is deleted."""


class BrokenForm(ServiceError, status=400, code="invalid_form"):
    """The body is not a multipart/form-data form, or it ends too early."""


class FileTooLarge(ServiceError, status=413, code="file_too_large"):
    """The file is larger than one request may bring."""
