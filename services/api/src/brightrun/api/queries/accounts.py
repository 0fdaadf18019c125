"""Users and their passwords."""

from uuid import UUID

from brightrun.api.models import User
from brightrun.runtime.database import Connection, Pool


async def admit_one_at_a_time(conn: Connection) -> None:
    """Make other sign-ups wait until this transaction ends, so that only one can be the first."""
    await conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '.users', 0))")


async def any_user(conn: Connection) -> bool:
    """Whether the installation has an account at all."""
    return bool(await conn.fetchval("SELECT EXISTS (SELECT FROM users)"))


async def insert_user(conn: Connection, user: User, password_hash: str | None) -> bool:
    """Store a new account; False if its address has one already."""
    inserted = await conn.fetchval(
        """
        INSERT INTO users (id, email, name, role, created_at, password_hash) VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (email) DO NOTHING RETURNING true
        """,
        user.id, user.email, user.name, user.role, user.created_at, password_hash,
    )  # fmt: skip
    return bool(inserted)


async def find_by_email(conn: Connection | Pool, email: str) -> tuple[User, str | None] | None:
    """The account of an address, with its password's hash."""
    row = await conn.fetchrow(
        "SELECT id, email, name, role, created_at, disabled_at, password_hash FROM users WHERE email = $1", email
    )
    if row is None:
        return None
    *user, password_hash = row
    return User(*user), password_hash


async def find_password_hash(pool: Pool, user_id: UUID) -> str | None:
    """What is stored of the user's password; None if there is none."""
    found: str | None = await pool.fetchval("SELECT password_hash FROM users WHERE id = $1", user_id)
    return found


async def still_has(conn: Connection, user_id: UUID, password_hash: str) -> bool:
    """Whether the account still lets its owner in by this password; it does so until this transaction ends."""
    return bool(
        await conn.fetchval(
            "SELECT true FROM users WHERE id = $1 AND password_hash = $2 AND disabled_at IS NULL FOR SHARE",
            user_id, password_hash,
        )
    )  # fmt: skip


async def replace_password(conn: Connection, user_id: UUID, old_hash: str, new_hash: str) -> bool:
    """Change the password; False if it is not the old one any more."""
    return bool(
        await conn.fetchval(
            "UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2 RETURNING true",
            user_id, old_hash, new_hash,
        )
    )  # fmt: skip


async def set_password(conn: Connection, user_id: UUID, password_hash: str | None) -> None:
    """Change the password whatever it was; None takes it away."""
    await conn.execute("UPDATE users SET password_hash = $2 WHERE id = $1", user_id, password_hash)


async def rename(conn: Connection, user_id: UUID, name: str) -> None:
    """Change how the user is called."""
    await conn.execute("UPDATE users SET name = $2 WHERE id = $1", user_id, name)
