"""What the gateway refuses, and in which words."""

from math import ceil

from brightrun.runtime.errors import ServiceError


class Invalid(ServiceError):
    """Validation error"""

    status = 400
    code = "validation_error"


class Untrainable(Invalid):
    """The training cannot be done as it is asked for: `details` names what is in the way and what to do instead."""

    code = "untrainable"


class SignupClosed(ServiceError):
    """Sign-up is closed on this installation: ask its operator for an account."""

    status = 403
    code = "signup_closed"


class WrongScope(ServiceError):
    """The API key is not allowed to do this: use one with the scope that `details` names."""

    status = 403
    code = "wrong_scope"


class AdminOnly(ServiceError):
    """Only an admin of this installation may do this."""

    status = 403
    code = "admin_only"


class AccountDisabled(ServiceError):
    """The account is disabled: ask an admin of this installation."""

    status = 403
    code = "account_disabled"


class LastAdmin(ServiceError):
    """No active admin would be left: make somebody else admin first."""

    status = 409
    code = "last_admin"


class NoPassword(ServiceError):
    """The account signs in with the identity provider and has no password: ask an admin to set one."""

    status = 409
    code = "no_password"


class NotASession(ServiceError):
    """Only a session can be signed out of: an API key is revoked instead."""

    status = 400
    code = "not_a_session"


class TooManyKeys(ServiceError):
    """The account has as many API keys as it may have: revoke one first."""

    status = 409
    code = "too_many_keys"


class RateLimited(ServiceError):
    """Too many requests: wait for as many seconds as Retry-After says, then go on more slowly."""

    status = 429
    code = "rate_limited"
    headers = {"Retry-After": "1"}  # noqa: RUF012

    def __init__(self, seconds: float = 1) -> None:
        wait = max(1, ceil(seconds))
        super().__init__({"retry_after": wait})
        self.headers = {"Retry-After": str(wait)}


class TooManyTries(RateLimited):
    """Too many attempts to sign in: wait for as many seconds as Retry-After says, then try again."""

    code = "too_many_tries"


class NoIdentityProvider(ServiceError):
    """No identity provider is set up on this installation: sign in with a password."""

    status = 404
    code = "no_identity_provider"


class SignInBroken(ServiceError):
    """The sign-in was begun in another browser, took too long, or was answered wrongly: begin it again."""

    status = 400
    code = "sign_in_broken"


class SignInRefused(ServiceError):
    """The identity provider did not let you sign in."""

    status = 403
    code = "sign_in_refused"


class EmailNotVerified(ServiceError):
    """The identity provider has not verified your e-mail address, so it tells no account."""

    status = 403
    code = "email_not_verified"


class EmailNotAdmitted(ServiceError):
    """Addresses of this domain may not sign in to this installation."""

    status = 403
    code = "email_not_admitted"


class WrongCode(ServiceError):
    """The code is unknown, used, expired, or not for this verifier: sign in again."""

    status = 400
    code = "wrong_code"


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


class UnreadableBody(ServiceError):
    """There was an error parsing the body"""

    status = 400
    code = "unreadable_body"


class TooLarge(ServiceError):
    """The body is larger than 1048576 bytes."""

    status = 413
    code = "too_large"


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


class DatasetInUse(ServiceError):
    """A job that is not over needs the data set: wait for its end or cancel it, then delete the data set."""

    status = 409
    code = "dataset_in_use"


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


class FileNotFound(ServiceError):
    """There is no such file, or it is not yours."""

    status = 404
    code = "file_not_found"


class UploadStalled(ServiceError):
    """The bytes stopped coming for too long; send them again."""

    status = 408
    code = "upload_stalled"


class UploadOver(ServiceError):
    """The upload is over, so that nothing can be done with it any more; `details` says how it ended."""

    status = 409
    code = "upload_over"


class UploadMismatch(ServiceError):
    """The parts do not make up the file that was announced; `details` says why."""

    status = 400
    code = "upload_mismatch"


class UploadNotFound(ServiceError):
    """There is no such upload, or it is not yours."""

    status = 404
    code = "upload_not_found"


class ModelNotFound(ServiceError):
    """There is no such model, or it is not yours; `details` lists what can be fine-tuned."""

    status = 404
    code = "model_not_found"


class BaseModelKept(ServiceError):
    """A base model belongs to the installation: only models that you have fine-tuned can be deleted."""

    status = 403
    code = "base_model_kept"


class ResultsKept(ServiceError):
    """A results file is made from what its job measured: it goes when the job is deleted."""

    status = 409
    code = "results_kept"


class Unsupported(ServiceError):
    """The request asks for something that this platform does not do; `details` names it and what to do instead."""

    status = 400
    code = "unsupported_parameter"


class TooManyWebhooks(ServiceError):
    """The account has as many webhooks as it may have: delete one first."""

    status = 409
    code = "too_many_webhooks"


class WebhookDisabled(ServiceError):
    """The webhook is disabled: enable it first."""

    status = 409
    code = "webhook_disabled"


class WebhookUnreachable(ServiceError):
    """The webhook's receiver gave no answer; `details` says why."""

    status = 400
    code = "webhook_unreachable"
