"""Sign-ins, and the codes by which they are fetched."""

from datetime import datetime
from uuid import UUID

from brightrun.api.access import Session
from brightrun.api.models import User
from brightrun.runtime.database import Connection, Pool


async def insert_session(
    conn: Connection, token_sha256: bytes, user_id: UUID, expires_at: datetime, client: str
) -> None:
    """Store a sign-in."""
    await conn.execute(
        "INSERT INTO sessions (token_sha256, user_id, expires_at, client) VALUES ($1, $2, $3, $4)",
        token_sha256, user_id, expires_at, client,
    )  # fmt: skip


async def list_sessions(pool: Pool, user_id: UUID) -> list[Session]:
    """The user's newest hundred that are valid, newest first."""
    rows = await pool.fetch(
        """
        SELECT id, created_at, expires_at, client FROM sessions WHERE user_id = $1 AND expires_at > now()
        ORDER BY created_at DESC, id LIMIT 100
        """,
        user_id,
    )
    return [Session(**row) for row in rows]


async def delete_session(conn: Connection, user_id: UUID, session_id: UUID) -> bool:
    """End a session of the user's; False if there is none."""
    return bool(
        await conn.fetchval("DELETE FROM sessions WHERE user_id = $1 AND id = $2 RETURNING true", user_id, session_id)
    )


async def delete_sessions(conn: Connection, user_id: UUID, *, but: UUID | None = None) -> None:
    """End all sessions of the user's, or all but one."""
    await conn.execute("DELETE FROM sessions WHERE user_id = $1 AND id IS DISTINCT FROM $2", user_id, but)


async def delete_expired(conn: Connection) -> None:
    """Forget the sessions and codes that are of no use any more."""
    await conn.execute("DELETE FROM sessions WHERE expires_at <= now()")
    await conn.execute("DELETE FROM sign_in_codes WHERE expires_at <= now()")


async def insert_code(
    conn: Connection, code_sha256: bytes, user_id: UUID, challenge: str, expires_at: datetime
) -> None:
    """Store who may sign in with a code, if the verifier of `challenge` comes with it."""
    await conn.execute("INSERT INTO sign_in_codes VALUES ($1, $2, $3, $4)", code_sha256, user_id, challenge, expires_at)


async def take_code(conn: Connection, code_sha256: bytes, challenge: str) -> User | None:
    """Use a code up: who signs in by it."""
    row = await conn.fetchrow(
        """
        DELETE FROM sign_in_codes USING users
        WHERE code_sha256 = $1 AND challenge = $2 AND expires_at > now() AND users.id = user_id AND disabled_at IS NULL
        RETURNING users.id, email, name, role, created_at
        """,
        code_sha256, challenge,
    )  # fmt: skip
    return User(*row) if row else None
