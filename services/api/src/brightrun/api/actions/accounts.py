"""Accounts and sign-ins."""

from datetime import timedelta
from uuid import UUID

from brightrun.api.access import Grant
from brightrun.api.errors import EmailTaken, WrongCredentials
from brightrun.api.models import Role, User
from brightrun.api.queries import accounts, sessions
from brightrun.api.rules.sessions import SESSION, digest, new_token
from brightrun.contracts.values import new_id, utc_now
from brightrun.runtime.database import Connection

MAX_CLIENT_LENGTH = 200
"""Characters of what the program that signs in calls itself."""


async def register(conn: Connection, email: str, name: str, password_hash: str | None) -> User:
    """Open an account. The first one of an installation is its admin."""
    await accounts.admit_one_at_a_time(conn)
    role: Role = "member" if await accounts.any_user(conn) else "admin"
    return await open_account(conn, email, name, role, password_hash)


async def open_account(conn: Connection, email: str, name: str, role: Role, password_hash: str | None) -> User:
    """Open an account with that role; None is for one without a password."""
    user = User(id=new_id(), email=email, name=name, role=role, created_at=utc_now())
    if not await accounts.insert_user(conn, user, password_hash):
        raise EmailTaken
    return user


async def sign_in(conn: Connection, user_id: UUID, lifetime: timedelta, client: str) -> str:
    """A new bearer token of the user's; only its digest is kept."""
    token = new_token(SESSION)
    shown = "".join(filter(str.isprintable, client))[:MAX_CLIENT_LENGTH]
    await sessions.insert_session(conn, digest(token), user_id, utc_now() + lifetime, shown)
    return token


async def change_password(conn: Connection, grant: Grant, old_hash: str, new_hash: str) -> None:
    """Replace the password and end all of the user's sessions but the one that asks."""
    if not await accounts.replace_password(conn, grant.user.id, old_hash, new_hash):
        raise WrongCredentials
    await sessions.delete_sessions(conn, grant.user.id, but=grant.session_id)
