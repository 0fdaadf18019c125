"""Errors of accounts and sign-in."""

from brightrun.api.http.errors import RateLimited
from brightrun.runtime.errors import ServiceError


class SignupClosed(ServiceError):
    """Sign-up is closed on this installation: ask its operator for an account."""

    status = 403
    code = "signup_closed"


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


class TooManyLoginAttempts(RateLimited):
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
