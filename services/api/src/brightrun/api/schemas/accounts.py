"""Bodies of accounts."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import email_validator
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from brightrun.api.models import Role
from brightrun.api.schemas.body import Body

SHORTEST_PASSWORD = 10
LONGEST_PASSWORD = 1024

for domain in ("local", "localhost", "test"):  # a team's own network may well have addresses in these
    email_validator.SPECIAL_USE_DOMAIN_NAMES.remove(domain)


def _normalize(address: str) -> str:
    """One spelling for each mailbox, so that an address has one account."""
    known = email_validator.validate_email(address.strip(), check_deliverability=False, globally_deliverable=False)
    return known.normalized.lower()


Email = Annotated[str, Field(max_length=320, examples=["ada@example.com"]), AfterValidator(_normalize)]


class Register(Body):
    """A new account."""

    email: Email
    password: Annotated[str, Field(min_length=SHORTEST_PASSWORD, max_length=LONGEST_PASSWORD)]
    name: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)] = ""


class Login(Body):
    """A sign-in."""

    email: Email
    password: Annotated[str, Field(max_length=LONGEST_PASSWORD)]


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
