"""Rows of accounts: users, sessions, API keys, login attempts."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import PlainSerializer

from brightrun.contracts.values import Value

Role = Literal["admin", "member"]
Scope = Literal["read", "train", "admin"]
ALL_SCOPES: frozenset[Scope] = frozenset({"read", "train", "admin"})


@dataclass(frozen=True, slots=True)
class User:
    """An account."""

    id: UUID
    email: str
    name: str
    role: Role
    created_at: datetime
    disabled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """The access of a token: as `user`, within `scopes`, until `expires_at`.

    `session_id` is None if the token is an API key or the identity provider's.
    """

    user: User
    scopes: frozenset[Scope]
    expires_at: datetime | None = None
    session_id: UUID | None = None


class Session(Value):
    """A sign-in. `client` is the user agent that it came from, `current` whether it is the one that asks."""

    id: UUID
    created_at: datetime
    expires_at: datetime
    client: str
    current: bool


class ApiKey(Value):
    """A key for programs without its secret, which begins with `prefix`; `last_used_at` is true to the minute."""

    id: UUID
    name: str
    scopes: Annotated[frozenset[Scope], PlainSerializer(sorted, return_type=list[Scope])]
    prefix: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class AuditEntry(Value):
    """A change that an admin asked for, with the admin's address and name at that time.

    `outcome`: `done`, the code of an error, or null where the gateway stopped before it knew.
    """

    id: int
    occurred_at: datetime
    user_id: UUID
    email: str
    name: str
    action: str
    target: str
    details: dict[str, Any]
    outcome: str | None


@dataclass(frozen=True, slots=True)
class LoginAttempts:
    """Attempts to sign in from one source since the last success, and when the next is allowed."""

    count: int
    last_at: datetime
    blocked_until: datetime | None = None
