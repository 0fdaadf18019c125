"""What an admin's change makes of an account."""

from collections.abc import Set
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from brightrun.api.models import Role, User


def changed(user: User, role: Role | None, *, disabled: bool | None, now: datetime) -> User:
    """The account with another role, disabled or enabled; None leaves it as it is."""
    if disabled is not None:
        user = replace(user, disabled_at=(user.disabled_at or now) if disabled else None)
    return replace(user, role=role or user.role)


def nobody_remains(admins: Set[UUID], user: User) -> bool:
    """Whether none of the active `admins` is one still, once `user` is what it is now."""
    return admins == {user.id} and (user.role != "admin" or user.disabled_at is not None)
