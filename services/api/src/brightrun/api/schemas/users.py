"""Bodies of what admins do with accounts."""

from datetime import datetime

from pydantic import BaseModel

from brightrun.api.models import Role
from brightrun.api.schemas.accounts import Email, Name, NewPassword, UserView
from brightrun.api.schemas.body import Body, Pagination, example


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
    disabled: bool | None = None


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
