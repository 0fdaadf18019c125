"""What API keys may do."""

from collections.abc import Iterable
from datetime import datetime

from brightrun.api.models import ALL_SCOPES, Scope

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
