"""Accounts and sign-ins."""

import secrets
from datetime import timedelta

from brightrun.api.errors import EmailTaken
from brightrun.api.models import Role, User
from brightrun.api.queries import accounts
from brightrun.api.rules.sessions import digest
from brightrun.contracts.values import new_id, utc_now
from brightrun.runtime.database import Connection

TOKEN_PREFIX = "brs_"  # noqa: S105 - tells what leaked, is no secret


async def register(conn: Connection, email: str, name: str, password_hash: str) -> User:
    """Open an account. The first one of an installation is its admin."""
    await accounts.admit_one_at_a_time(conn)
    role: Role = "member" if await accounts.any_user(conn) else "admin"
    user = User(id=new_id(), email=email, name=name, role=role, created_at=utc_now())
    if not await accounts.insert_user(conn, user, password_hash):
        raise EmailTaken
    return user


async def sign_in(conn: Connection, user: User, lifetime: timedelta) -> str:
    """A new bearer token of the user's; only its digest is kept."""
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    await accounts.insert_session(conn, digest(token), user.id, utc_now() + lifetime)
    return token
