"""Sign-ins, and the codes by which they are fetched."""

from datetime import datetime
from uuid import UUID

from brightrun.api.accounts.models import ALL_SCOPES, ApiKey, Grant, Scope, Session, User
from brightrun.runtime.database import Connection, Pool


async def insert_session(
    conn: Connection, token_sha256: bytes, user_id: UUID, expires_at: datetime, client: str
) -> None:
    """Store a sign-in."""
    await conn.execute(
        "INSERT INTO sessions (token_sha256, user_id, expires_at, client) VALUES ($1, $2, $3, $4)",
        token_sha256, user_id, expires_at, client,
    )  # fmt: skip


async def list_sessions(pool: Pool, user_id: UUID, current: UUID | None) -> list[Session]:
    """The user's newest hundred that are valid, newest first, of which one may be the `current` one."""
    rows = await pool.fetch(
        """
        SELECT id, created_at, expires_at, client, coalesce(id = $2, false) AS current
        FROM sessions WHERE user_id = $1 AND expires_at > now()
        ORDER BY created_at DESC, id LIMIT 100
        """,
        user_id, current,
    )  # fmt: skip
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


async def count_keys(conn: Connection, user_id: UUID) -> int:
    """How many the user has, revoked ones not counted; clients that ask wait until this transaction ends."""
    await conn.execute("SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE", user_id)
    counted: int = await conn.fetchval(
        "SELECT count(*) FROM api_keys WHERE user_id = $1 AND revoked_at IS NULL", user_id
    )
    return counted


async def insert_key(conn: Connection, user_id: UUID, key: ApiKey, key_sha256: bytes) -> None:
    """Store a new key."""
    await conn.execute(
        """
        INSERT INTO api_keys (id, user_id, name, scopes, prefix, key_sha256, created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        """,
        key.id, user_id, key.name, sorted(key.scopes), key.prefix, key_sha256, key.created_at, key.expires_at,
    )  # fmt: skip


async def list_keys(pool: Pool, user_id: UUID) -> list[ApiKey]:
    """The user's keys that are not revoked, newest first."""
    rows = await pool.fetch(
        """
        SELECT id, name, scopes, prefix, created_at, expires_at, last_used_at FROM api_keys
        WHERE user_id = $1 AND revoked_at IS NULL ORDER BY id DESC
        """,
        user_id,
    )
    return [ApiKey(**row) for row in rows]


async def revoke_key(conn: Connection, user_id: UUID, key_id: UUID) -> bool:
    """End a key of the user's; False if there is none."""
    return bool(
        await conn.fetchval(
            """
            UPDATE api_keys SET revoked_at = now() WHERE user_id = $1 AND id = $2 AND revoked_at IS NULL
            RETURNING true
            """,
            user_id, key_id,
        )
    )  # fmt: skip


async def revoke_keys(conn: Connection, user_id: UUID) -> None:
    """End all keys of the user's."""
    await conn.execute("UPDATE api_keys SET revoked_at = now() WHERE user_id = $1 AND revoked_at IS NULL", user_id)


ISSUED_ELSEWHERE: frozenset[Scope] = frozenset({"read", "train"})
"""What the identity provider's own tokens may do: they manage no account here, so none leaves a key behind."""


async def find_by_session(pool: Pool, token_sha256: bytes) -> Grant | None:
    """The session's user, while both are valid."""
    row = await pool.fetchrow(
        """
        SELECT users.id, email, name, role, users.created_at, sessions.id AS session_id, expires_at
        FROM sessions JOIN users ON users.id = user_id
        WHERE token_sha256 = $1 AND expires_at > now() AND disabled_at IS NULL
        """,
        token_sha256,
    )
    if row is None:
        return None
    *user, session_id, expires_at = row
    return Grant(User(*user), ALL_SCOPES, expires_at, session_id)


async def find_by_key(pool: Pool, key_sha256: bytes) -> tuple[Grant, bool] | None:
    """The key's user and scopes, while both are valid; and whether the key's last use is more than a minute ago."""
    row = await pool.fetchrow(
        """
        SELECT users.id, email, users.name, role, users.created_at, scopes, expires_at,
            coalesce(last_used_at < now() - interval '1 minute', true) AS rested
        FROM api_keys JOIN users ON users.id = user_id
        WHERE key_sha256 = $1 AND revoked_at IS NULL AND coalesce(expires_at > now(), true) AND disabled_at IS NULL
        """,
        key_sha256,
    )
    if row is None:
        return None
    *user, scopes, expires_at, rested = row
    return Grant(User(*user), frozenset(scopes), expires_at), rested


async def mark_used(pool: Pool, key_sha256: bytes) -> None:
    """Note that the key is used now; of many at once, one writes."""
    await pool.execute(
        """
        UPDATE api_keys SET last_used_at = now() WHERE id = (
            SELECT id FROM api_keys
            WHERE key_sha256 = $1 AND coalesce(last_used_at < now() - interval '1 minute', true)
            FOR UPDATE SKIP LOCKED
        )
        """,
        key_sha256,
    )


async def find_by_identity(conn: Connection | Pool, issuer: str, subject: str) -> Grant | None:
    """The account of the identity provider's subject; None if it has none here, or a disabled one."""
    row = await conn.fetchrow(
        """
        SELECT id, email, name, role, created_at FROM identities JOIN users ON users.id = user_id
        WHERE issuer = $1 AND subject = $2 AND disabled_at IS NULL
        """,
        issuer, subject,
    )  # fmt: skip
    return Grant(User(*row), ISSUED_ELSEWHERE) if row else None
