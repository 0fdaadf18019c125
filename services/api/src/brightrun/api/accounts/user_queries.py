"""Users and their passwords."""

from datetime import datetime, timedelta
from uuid import UUID

from brightrun.api.accounts.models import LoginAttempts, User
from brightrun.runtime.database import Connection, Pool
from brightrun.runtime.locks import lock


async def lock_sign_up(conn: Connection) -> None:
    """Make other sign-ups wait until this transaction ends, so that only one can be the first."""
    await lock(conn, "users")


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


async def confirm_password(conn: Connection, user_id: UUID, password_hash: str) -> bool:
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


async def signed_in_before(conn: Connection, source: bytes, within: timedelta) -> bool:
    """Whether an attempt from the source has ever succeeded, so far as that is remembered."""
    return bool(
        await conn.fetchval(
            "SELECT signed_in_at > now() - $2::interval FROM login_attempts WHERE source = $1", source, within
        )
    )


async def lock_login_attempts(conn: Connection, source: bytes, now: datetime) -> LoginAttempts:
    """The attempts from the source so far; clients that ask wait until this transaction ends."""
    row = await conn.fetchrow(
        """
        INSERT INTO login_attempts (source, last_at) VALUES ($1, $2)
        ON CONFLICT (source) DO UPDATE SET source = excluded.source
        RETURNING attempts, last_at, blocked_until
        """,
        source, now,
    )  # fmt: skip
    assert row is not None  # noqa: S101 - an insert that updates returns its row
    return LoginAttempts(*row)


async def save_login_attempts(conn: Connection, source: bytes, attempts: LoginAttempts) -> None:
    """Store the attempts from the source."""
    await conn.execute(
        "UPDATE login_attempts SET attempts = $2, last_at = $3, blocked_until = $4 WHERE source = $1",
        source, attempts.count, attempts.last_at, attempts.blocked_until,
    )  # fmt: skip


async def return_login_attempt(conn: Connection, source: bytes) -> None:
    """One attempt from the source has succeeded."""
    await conn.execute("UPDATE login_attempts SET attempts = greatest(attempts - 1, 0) WHERE source = $1", source)


async def reset_login_attempts(conn: Connection, source: bytes) -> None:
    """Let the source begin anew."""
    await conn.execute("UPDATE login_attempts SET attempts = 0, blocked_until = NULL WHERE source = $1", source)


async def mark_signed_in(conn: Connection, source: bytes) -> None:
    """Remember that an attempt from the source has succeeded, and let it begin anew."""
    await conn.execute(
        """
        INSERT INTO login_attempts (source, signed_in_at) VALUES ($1, now())
        ON CONFLICT (source) DO UPDATE SET attempts = 0, blocked_until = NULL, signed_in_at = now()
        """,
        source,
    )


async def delete_stale_login_attempts(conn: Connection, after: timedelta, known_for: timedelta) -> None:
    """Drop what counts no more, but wait for no attempt that is under way: it may wait for another of these."""
    await conn.execute(
        """
        DELETE FROM login_attempts WHERE source IN (
            SELECT source FROM login_attempts
            WHERE last_at < now() - $1::interval AND coalesce(signed_in_at < now() - $2::interval, true)
            FOR UPDATE SKIP LOCKED
        )
        """,
        after, known_for,
    )  # fmt: skip
