"""Bodies of accounts."""

from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import email_validator
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    ValidationInfo,
    field_validator,
)

from brightrun.api.accounts.models import ApiKey, AuditEntry, Role, Scope, Session
from brightrun.api.http.bodies import Body, example
from brightrun.contracts.pagination import Pagination
from brightrun.contracts.values import Utc, utc_now

MIN_PASSWORD_LENGTH = 10
MAX_PASSWORD_LENGTH = 1024
for domain in ("local", "localhost", "test"):  # a team's own network may well have addresses in these
    email_validator.SPECIAL_USE_DOMAIN_NAMES.remove(domain)


def _normalize(address: str) -> str:
    """One spelling for each mailbox, so that an address has one account."""
    known = email_validator.validate_email(address.strip(), check_deliverability=False, globally_deliverable=False)
    return known.normalized.lower()


Email = Annotated[str, Field(max_length=320, examples=["ada@example.com"]), AfterValidator(_normalize)]
NewPassword = Annotated[str, Field(min_length=MIN_PASSWORD_LENGTH, max_length=MAX_PASSWORD_LENGTH)]
GivenPassword = Annotated[str, Field(max_length=MAX_PASSWORD_LENGTH)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)]


class Register(Body):
    """A new account."""

    model_config = example({"email": "ada@example.com", "password": "at least ten characters", "name": "Ada"})

    email: Email
    password: NewPassword
    name: Name = ""


class Login(Body):
    """A sign-in."""

    model_config = example({"email": "ada@example.com", "password": "at least ten characters"})

    email: Email
    password: GivenPassword


class ChangePassword(Body):
    """A new password, by whoever knows the old one."""

    model_config = example({"old_password": "at least ten characters", "new_password": "as many as before"})

    old_password: GivenPassword
    new_password: NewPassword


class ChangeAccount(Body):
    """How the user wants to be called."""

    model_config = example({"name": "Ada"})

    name: Name


class UserView(BaseModel):
    """An account as its owner sees it."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    email: str
    name: str
    role: Role
    created_at: datetime


class Account(BaseModel):
    """Who is signed in."""

    user: UserView


class SignedInAccount(Account):
    """Who is signed in now, with the bearer token to send from here on; it is shown only once."""

    token: str


class SignInMethods(BaseModel):
    """How one gets in here. `oidc` is what the identity provider is called, None where there is none."""

    signup_open: bool
    oidc: str | None


class Sessions(BaseModel):
    """The newest hundred."""

    sessions: list[Session]


class CreateUser(Body):
    """A new account. One without a password can be used with the identity provider only, until it is given one."""

    model_config = example(
        {"email": "grace@example.com", "name": "Grace", "role": "member", "password": "at least ten characters"}
    )

    email: Email
    name: Name = ""
    role: Role = "member"
    password: NewPassword | None = None


class ChangeUser(Body):
    """What an admin changes; what is left out stays as it is."""

    model_config = example({"disabled": True})

    role: Role | None = None
    disabled: StrictBool | None = None


class ResetPassword(Body):
    """Another password, for its owner to change."""

    model_config = example({"password": "at least ten characters"})

    password: NewPassword


class ManagedUser(UserView):
    """An account as admins see it."""

    disabled_at: datetime | None


class UserPage(BaseModel):
    """Newest first."""

    users: list[ManagedUser]
    pagination: Pagination


class AuditPage(BaseModel):
    """Newest first."""

    entries: list[AuditEntry]
    pagination: Pagination


MAX_DAYS = 3650


class CreateKey(Body):
    """A new key. It never expires unless it is said when; `train` goes with `read`, `admin` with both."""

    model_config = example({"name": "nightly training", "scopes": ["train"], "expires_in_days": 90})

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=3, examples=[["train"]])]
    expires_at: Utc | None = None
    expires_in_days: Annotated[int, Field(strict=True, ge=1, le=MAX_DAYS)] | None = None

    @field_validator("expires_at")
    @classmethod
    def _lies_ahead(cls, moment: datetime | None) -> datetime | None:
        if moment is not None and moment <= utc_now():
            raise ValueError("must lie in the future")
        return moment

    @field_validator("expires_in_days")
    @classmethod
    def _says_it_once(cls, days: int | None, known: ValidationInfo) -> int | None:
        if days is not None and known.data.get("expires_at") is not None:
            raise ValueError("give either expires_at or expires_in_days")
        return days

    def end(self, now: datetime) -> datetime | None:
        """When the key expires if it is made now."""
        return self.expires_at if self.expires_in_days is None else now + timedelta(days=self.expires_in_days)


class CreatedKey(ApiKey):
    """A new key with its secret, which is shown only this once."""

    key: str


class Keys(BaseModel):
    """Newest first."""

    keys: list[ApiKey]


def _trim(name: Any) -> str:
    """Names are for people: one that we cannot keep is no reason to turn its owner away."""
    return "".join(filter(str.isprintable, str(name or "")))[:200]


def _is_true(value: Any) -> bool:
    return value is True


class Claims(BaseModel):
    """Who has signed in."""

    sub: str
    email: Email | None = None
    email_verified: Annotated[bool, BeforeValidator(_is_true)] = False
    name: Annotated[Name, BeforeValidator(_trim)] = ""

    @property
    def verified_email(self) -> str | None:
        """The address, if the provider knows that it is the user's."""
        return self.email if self.email_verified else None


class FetchToken(Body):
    """The code that came with the browser, and the verifier of the challenge that the sign-in was begun with."""

    model_config = example(
        {"code": "SplxlOBeZQQYbYS6WxSbIA", "verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"}
    )

    code: Annotated[str, Field(max_length=200)]
    verifier: Annotated[str, Field(pattern=r"^[A-Za-z0-9._~-]{43,128}$")]
