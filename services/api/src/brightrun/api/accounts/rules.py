"""Bearer tokens: opaque, and known to us by their digest only."""

import hashlib
import secrets
from collections.abc import Iterable, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from brightrun.api.accounts.models import ALL_SCOPES, LoginAttempts, Role, Scope, User

SESSION = "brs_"
KEY = "br_"
CODE = "brc_"
"""How tokens begin: that tells what leaked, and is no secret."""


def new_token(prefix: str) -> str:
    """A token that nobody guesses."""
    return prefix + secrets.token_urlsafe(32)


def digest(token: str) -> bytes:
    """What is stored of a token; it is random enough to need no salt."""
    return hashlib.sha256(token.encode()).digest()


MAX_KEYS = 100
"""Of one account, revoked ones not counted."""
VISIBLE = 10
"""Characters of a key that its owner goes on seeing."""
IMPLIED: dict[Scope, frozenset[Scope]] = {
    "read": frozenset({"read"}),
    "train": frozenset({"read", "train"}),
    "admin": ALL_SCOPES,
}


def with_implied(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """The scopes with those that go with them: who may train may read, who may administer may do all."""
    return frozenset[Scope]().union(*(IMPLIED[scope] for scope in scopes))


def end_of(wanted: datetime | None, maker: datetime | None) -> datetime | None:
    """When a new key expires: no later than what it was made with; None is never."""
    ends = [end for end in (wanted, maker) if end is not None]
    return min(ends, default=None)


def changed(user: User, role: Role | None, *, disabled: bool | None, now: datetime) -> User:
    """The account with another role, disabled or enabled; None leaves it as it is."""
    if disabled is not None:
        user = replace(user, disabled_at=(user.disabled_at or now) if disabled else None)
    return replace(user, role=role or user.role)


def nobody_remains(admins: Set[UUID], user: User) -> bool:
    """Whether none of the active `admins` is one still, once `user` is what it is now."""
    return admins == {user.id} and (user.role != "admin" or user.disabled_at is not None)


LONGEST = timedelta(minutes=1)
FORGOTTEN_AFTER = timedelta(hours=1)
KNOWN_FOR = timedelta(days=90)
"""How long a network is remembered as one where the account was signed in to."""


@dataclass(frozen=True, slots=True)
class Throttle:
    """How many attempts pass with no pause between them."""

    free: int


ACCOUNT = Throttle(free=5)
NETWORK = Throttle(free=50)


def count(attempts: LoginAttempts, throttle: Throttle, now: datetime) -> LoginAttempts:
    """After one more attempt."""
    counted = 1 if now - attempts.last_at >= FORGOTTEN_AFTER else attempts.count + 1
    pause = _pause(counted - throttle.free)
    return LoginAttempts(counted, now, now + pause if pause else None)


def _pause(beyond: int) -> timedelta:
    """1 s after the last free attempt, then 2, 4, 8 …"""
    if beyond < 0:
        return timedelta(0)
    return min(timedelta(seconds=2 ** min(beyond, 10)), LONGEST)
