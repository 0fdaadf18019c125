"""Accounts as admins see them."""

from uuid import UUID

from brightrun.api.models import User
from brightrun.runtime.database import Connection, Pool


async def list_users(pool: Pool, text: str, limit: int, offset: int) -> list[User]:
    """Accounts, newest first, with `text` in their address or name."""
    rows = await pool.fetch(
        """
        SELECT id, email, name, role, created_at, disabled_at FROM users
        WHERE strpos(email, lower($1)) > 0 OR strpos(lower(name), lower($1)) > 0
        ORDER BY id DESC LIMIT $2 OFFSET $3
        """,
        text, limit, offset,
    )  # fmt: skip
    return [User(*row) for row in rows]


async def count_users(pool: Pool, text: str) -> int:
    """How many `list_users` finds in all."""
    counted: int = await pool.fetchval(
        "SELECT count(*) FROM users WHERE strpos(email, lower($1)) > 0 OR strpos(lower(name), lower($1)) > 0", text
    )
    return counted


async def has_user(pool: Pool, user_id: UUID) -> bool:
    """Whether there is such an account."""
    return bool(await pool.fetchval("SELECT EXISTS (SELECT FROM users WHERE id = $1)", user_id))


async def lock_active_admins(conn: Connection) -> set[UUID]:
    """All admins that are not disabled; they stay so until this transaction ends."""
    rows = await conn.fetch(
        "SELECT id FROM users WHERE role = 'admin' AND disabled_at IS NULL ORDER BY id FOR NO KEY UPDATE"
    )
    return {row["id"] for row in rows}


async def lock_user(conn: Connection, user_id: UUID) -> User | None:
    """The account; it stays as it is until this transaction ends."""
    row = await conn.fetchrow(
        """
        SELECT id, email, name, role, created_at, disabled_at FROM users WHERE id = $1 FOR NO KEY UPDATE
        """,
        user_id,
    )
    return User(*row) if row else None


async def save_user(conn: Connection, user: User) -> None:
    """Store what an admin has changed."""
    await conn.execute(
        "UPDATE users SET role = $2, disabled_at = $3 WHERE id = $1", user.id, user.role, user.disabled_at
    )
