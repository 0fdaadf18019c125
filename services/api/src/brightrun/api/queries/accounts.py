"""Users and their sessions."""

from datetime import datetime
from uuid import UUID

from brightrun.api.models import User
from brightrun.runtime.database import Connection, Pool


async def admit_one_at_a_time(conn: Connection) -> None:
    """Make other sign-ups wait until this transaction ends, so that only one can be the first."""
    await conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '.users', 0))")


async def any_user(conn: Connection) -> bool:
    """Whether the installation has an account at all."""
    return bool(await conn.fetchval("SELECT EXISTS (SELECT FROM users)"))


async def insert_user(conn: Connection, user: User, password_hash: str) -> bool:
    """Store a new account; False if its address has one already."""
    inserted = await conn.fetchval(
        """
        INSERT INTO users (id, email, name, role, created_at, password_hash) VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (email) DO NOTHING RETURNING true
        """,
        user.id, user.email, user.name, user.role, user.created_at, password_hash,
    )  # fmt: skip
    return bool(inserted)


async def find_by_email(pool: Pool, email: str) -> tuple[User, str] | None:
    """The account of an address, with its password's hash."""
    row = await pool.fetchrow(
        "SELECT id, email, name, role, created_at, password_hash FROM users WHERE email = $1", email
    )
    if row is None:
        return None
    *user, password_hash = row
    return User(*user), password_hash


async def insert_session(conn: Connection, token_sha256: bytes, user_id: UUID, expires_at: datetime) -> None:
    """Store a sign-in."""
    await conn.execute("INSERT INTO sessions VALUES ($1, $2, $3)", token_sha256, user_id, expires_at)


async def find_session_user(pool: Pool, token_sha256: bytes) -> User | None:
    """Whose token this is, while it is valid."""
    row = await pool.fetchrow(
        """
        SELECT id, email, name, role, created_at FROM sessions JOIN users ON users.id = user_id
        WHERE token_sha256 = $1 AND expires_at > now()
        """,
        token_sha256,
    )
    return User(*row) if row else None


async def delete_session(conn: Connection, token_sha256: bytes) -> None:
    """Revoke a token."""
    await conn.execute("DELETE FROM sessions WHERE token_sha256 = $1", token_sha256)


async def delete_expired_sessions(conn: Connection) -> None:
    """Forget the tokens that are of no use any more."""
    await conn.execute("DELETE FROM sessions WHERE expires_at <= now()")
