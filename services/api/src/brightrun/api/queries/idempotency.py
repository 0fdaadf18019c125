"""Which job a request has made already. The locks last until the transaction ends."""

from datetime import datetime, timedelta
from uuid import UUID

from brightrun.api.models import Claim
from brightrun.runtime.database import Connection


async def take_key(conn: Connection, user_id: UUID, key: str) -> bool:
    """Keep others from using the key meanwhile; False if somebody does just now."""
    return bool(
        await conn.fetchval(
            "SELECT pg_try_advisory_xact_lock(hashtextextended(current_schema() || '.key:' || $1 || ':' || $2, 0))",
            str(user_id), key,
        )
    )  # fmt: skip


async def find_by_key(conn: Connection, user_id: UUID, key: str, lifetime: timedelta) -> tuple[bytes, UUID] | None:
    """The digest of the order that the key was used for within `lifetime`, and the job that it made."""
    row = await conn.fetchrow(
        """
        SELECT order_sha256, job_id FROM idempotency_keys
        WHERE user_id = $1 AND key = $2 AND created_at > now() - $3::interval
        """,
        user_id, key, lifetime,
    )  # fmt: skip
    return (row["order_sha256"], row["job_id"]) if row else None


async def keep_key(conn: Connection, user_id: UUID, key: str, order_sha256: bytes, job_id: UUID) -> None:
    """Remember what the key has made; a use of it that has expired is forgotten."""
    await conn.execute(
        """
        INSERT INTO idempotency_keys (user_id, key, order_sha256, job_id) VALUES ($1, $2, $3, $4)
        ON CONFLICT (user_id, key) DO UPDATE SET
            order_sha256 = excluded.order_sha256, job_id = excluded.job_id, created_at = excluded.created_at
        """,
        user_id, key, order_sha256, job_id,
    )  # fmt: skip


async def delete_keys(conn: Connection, lifetime: timedelta) -> None:
    """Forget keys that were first used longer ago than `lifetime`."""
    await conn.execute("DELETE FROM idempotency_keys WHERE created_at <= now() - $1::interval", lifetime)


async def await_order(conn: Connection, user_id: UUID, order_sha256: bytes) -> None:
    """Wait until nobody else is recording the same order, and keep others waiting meanwhile."""
    await conn.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '.order:' || $1 || ':' || $2, 0))",
        str(user_id), order_sha256.hex(),
    )  # fmt: skip


async def find_by_order(conn: Connection, user_id: UUID, claim: Claim, since: datetime) -> UUID | None:
    """The newest job of the same order: for a repetition any recorded from `since` on; else one that a repetition
    recorded while this request was on its way.
    """
    job_id: UUID | None = await conn.fetchval(
        """
        SELECT id FROM jobs
        WHERE user_id = $1 AND order_sha256 = $2
            AND CASE WHEN $3 THEN queued_at >= $4 ELSE sent_again AND queued_at >= $5 END
        ORDER BY id DESC LIMIT 1
        """,
        user_id, claim.sha256, claim.repeated, since, claim.began_at,
    )  # fmt: skip
    return job_id
