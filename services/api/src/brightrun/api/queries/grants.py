"""Whom a bearer token stands for; each is one look-up."""

from brightrun.api.access import Grant
from brightrun.api.models import ALL_SCOPES, Scope, User
from brightrun.runtime.database import Connection, Pool

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
