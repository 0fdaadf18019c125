"""Whom the identity provider means by a subject."""

from uuid import UUID

from brightrun.api.models import User
from brightrun.runtime.database import Connection


async def find_user(conn: Connection, issuer: str, subject: str) -> User | None:
    """The account that the subject signs in to, disabled or not."""
    row = await conn.fetchrow(
        """
        SELECT id, email, name, role, created_at, disabled_at FROM identities JOIN users ON users.id = user_id
        WHERE issuer = $1 AND subject = $2
        """,
        issuer, subject,
    )  # fmt: skip
    return User(*row) if row else None


async def insert_identity(conn: Connection, issuer: str, subject: str, user_id: UUID) -> None:
    """Let the subject sign in to the account from now on."""
    await conn.execute("INSERT INTO identities VALUES ($1, $2, $3)", issuer, subject, user_id)
