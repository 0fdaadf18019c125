"""API keys."""

from uuid import UUID

from brightrun.api.access import ApiKey
from brightrun.runtime.database import Connection, Pool


async def count_keys(conn: Connection, user_id: UUID) -> int:
    """How many the user has, revoked ones not counted; others that ask wait until this transaction ends."""
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
    return [ApiKey(**{**row, "scopes": frozenset(row["scopes"])}) for row in rows]


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
