"""Decisions about accounts: bearer tokens, scopes, the last admin, and pauses between login attempts.

Tokens are opaque; only their digests are stored. An account accepts `Limits.account_attempts` wrong passwords at once,
then one after each pause, which doubles up to MAX_PAUSE. A network accepts `Limits.network_attempts` over all accounts.
Attempts from a network where the account was signed in to before are counted apart from all others, so that an attacker
elsewhere does not lock its owner out there, and anywhere else for at most MAX_PAUSE at a time.
"""

import hashlib
import secrets
from collections.abc import Iterable, Set
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from brightrun.api.accounts.models import ALL_SCOPES, LoginAttempts, Role, Scope, User

SESSION = "brs_"
KEY = "br_"
CODE = "brc_"
"""Prefixes of tokens: they identify a leaked token, and are no secret."""
VISIBLE_CHARACTERS = 10
"""Of a key, for its owner."""
IMPLIED: dict[Scope, frozenset[Scope]] = {
    "read": frozenset({"read"}),
    "train": frozenset({"read", "train"}),
    "admin": ALL_SCOPES,
}
MAX_PAUSE = timedelta(minutes=1)
FORGOTTEN_AFTER = timedelta(hours=1)
KNOWN_FOR = timedelta(days=90)
"""How long a network is known as one where the account was signed in to."""


def new_token(prefix: str) -> str:
    """A token with 256 bits of randomness."""
    return prefix + secrets.token_urlsafe(32)


def digest(token: str) -> bytes:
    """What is stored of a token, which is random enough to need no salt."""
    return hashlib.sha256(token.encode()).digest()


def with_implied(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """The scopes and those that they imply."""
    return frozenset[Scope]().union(*(IMPLIED[scope] for scope in scopes))


def end_of(requested: datetime | None, creator: datetime | None) -> datetime | None:
    """The expiry of a new key: no later than that of the token that creates it; None is never."""
    ends = [end for end in (requested, creator) if end is not None]
    return min(ends, default=None)


def changed_user(user: User, role: Role | None, *, disabled: bool | None, now: datetime) -> User:
    """The account after an admin's change; None changes nothing."""
    if disabled is not None:
        user = replace(user, disabled_at=(user.disabled_at or now) if disabled else None)
    return replace(user, role=role or user.role)


def no_admin_left(admins: Set[UUID], user: User) -> bool:
    """Whether no active admin is left, where `admins` are those before the change and `user` is after it."""
    return admins == {user.id} and (user.role != "admin" or user.disabled_at is not None)


def count_attempt(attempts: LoginAttempts, free: int, now: datetime) -> LoginAttempts:
    """The attempts after one more, of which `free` have no pause."""
    counted = 1 if now - attempts.last_at >= FORGOTTEN_AFTER else attempts.count + 1
    pause = _pause(counted - free)
    return LoginAttempts(counted, now, now + pause if pause else None)


def _pause(beyond: int) -> timedelta:
    """1 s after the last free attempt, then 2, 4, 8 …"""
    if beyond < 0:
        return timedelta(0)
    return min(timedelta(seconds=2 ** min(beyond, 10)), MAX_PAUSE)
