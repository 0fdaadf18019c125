"""Bodies of accounts."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import email_validator
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from brightrun.api.models import Role
from brightrun.api.schemas.body import Body, example

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


class SessionView(BaseModel):
    """A sign-in; `client` is the program that it came from, `current` whether it is the one that asks."""

    id: UUID
    created_at: datetime
    expires_at: datetime
    client: str
    current: bool


class Sessions(BaseModel):
    """The newest hundred."""

    sessions: list[SessionView]
