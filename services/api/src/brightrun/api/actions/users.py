"""What admins do with accounts."""

from uuid import UUID

from brightrun.api.errors import LastAdmin
from brightrun.api.models import Role, User
from brightrun.api.queries import accounts, sessions, users
from brightrun.api.rules import users as rules
from brightrun.contracts.values import utc_now
from brightrun.runtime.database import Connection
from brightrun.runtime.errors import NotFound


async def change_user(conn: Connection, user_id: UUID, role: Role | None, *, disabled: bool | None) -> User:
    """Give the account another role, disable it, which ends its sessions, or enable it; None leaves it as it is.

    Keys of a disabled account do nothing until it is enabled again. One active admin always remains.
    """
    admins = await users.lock_active_admins(conn)
    user = rules.changed(await _lock(conn, user_id), role, disabled=disabled, now=utc_now())
    if rules.nobody_remains(admins, user):
        raise LastAdmin
    await users.save_user(conn, user)
    if user.disabled_at:
        await sessions.delete_sessions(conn, user_id)
    return user


async def reset_password(conn: Connection, user_id: UUID, password_hash: str) -> User:
    """Give the account another password and end its sessions."""
    user = await _lock(conn, user_id)
    await accounts.set_password(conn, user_id, password_hash)
    await sessions.delete_sessions(conn, user_id)
    return user


async def _lock(conn: Connection, user_id: UUID) -> User:
    user = await users.lock_user(conn, user_id)
    if user is None:
        raise NotFound
    return user
