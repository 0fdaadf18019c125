"""SQL on the endpoints that users' programs receive events at."""
# ruff: noqa: S608 - only constants of this file are put into statements

from datetime import datetime
from uuid import UUID

from brightrun.contracts.values import new_id
from brightrun.notifier.models import DisabledReason, Endpoint, SealedSecret
from brightrun.runtime.database import Connection
from brightrun.runtime.locks import lock

ENDPOINT = """id, user_id, url, description, event_types, enabled, disabled_reason, failing_since, failures, secret,
              secret_hint, previous_secret, previous_until, created_at, updated_at"""


async def lock_user(conn: Connection, user_id: UUID) -> None:
    """Let no other transaction make an endpoint for the user before this one ends."""
    await lock(conn, f"webhooks:{user_id}")


async def count_endpoints(conn: Connection, user_id: UUID) -> int:
    """How many endpoints the user has."""
    return int(await conn.fetchval("SELECT count(*) FROM webhook_endpoints WHERE user_id = $1", user_id))


async def insert_endpoint(
    conn: Connection, user_id: UUID, sealed: SealedSecret, *, url: str, description: str, event_types: list[str]
) -> Endpoint:
    """A new endpoint, enabled."""
    row = await conn.fetchrow(
        f"""
        INSERT INTO webhook_endpoints (id, user_id, url, description, event_types, secret, secret_hint)
        VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING {ENDPOINT}
        """,
        new_id(), user_id, url, description, event_types, sealed.secret, sealed.hint,
    )  # fmt: skip
    assert row is not None  # noqa: S101 - RETURNING gives a row
    return Endpoint(**row)


async def list_endpoints(conn: Connection, user_id: UUID) -> list[Endpoint]:
    """The user's endpoints, newest first."""
    rows = await conn.fetch(f"SELECT {ENDPOINT} FROM webhook_endpoints WHERE user_id = $1 ORDER BY id DESC", user_id)
    return [Endpoint(**row) for row in rows]


async def find_endpoint(conn: Connection, endpoint_id: UUID) -> Endpoint | None:
    """An endpoint, whoever owns it; None if there is none."""
    row = await conn.fetchrow(f"SELECT {ENDPOINT} FROM webhook_endpoints WHERE id = $1", endpoint_id)
    return Endpoint(**row) if row else None


async def lock_endpoint(conn: Connection, endpoint_id: UUID) -> Endpoint | None:
    """The same, held for this transaction."""
    row = await conn.fetchrow(f"SELECT {ENDPOINT} FROM webhook_endpoints WHERE id = $1 FOR NO KEY UPDATE", endpoint_id)
    return Endpoint(**row) if row else None


async def save_endpoint(
    conn: Connection, endpoint_id: UUID, url: str, description: str, event_types: list[str]
) -> None:
    """Write down what its owner changed."""
    await conn.execute(
        """
        UPDATE webhook_endpoints SET url = $2, description = $3, event_types = $4, updated_at = now() WHERE id = $1
        """,
        endpoint_id, url, description, event_types,
    )  # fmt: skip


async def enable(conn: Connection, endpoint_id: UUID) -> None:
    """Send events again, with a clean slate."""
    await conn.execute(
        """
        UPDATE webhook_endpoints SET enabled = true, disabled_reason = NULL, failing_since = NULL, failures = 0,
                                     retry_at = NULL, updated_at = now()
        WHERE id = $1
        """,
        endpoint_id,
    )


async def disable(conn: Connection, endpoint_id: UUID, reason: DisabledReason) -> None:
    """Send nothing any more."""
    await conn.execute(
        "UPDATE webhook_endpoints SET enabled = false, disabled_reason = $2, updated_at = now() WHERE id = $1",
        endpoint_id, reason,
    )  # fmt: skip


async def save_health(
    conn: Connection, endpoint_id: UUID, failing_since: datetime | None, failures: int, retry_at: datetime | None
) -> None:
    """Note since when, and how often, nothing has gone through, and when to try again; None, 0: the last event has."""
    await conn.execute(
        "UPDATE webhook_endpoints SET failing_since = $2, failures = $3, retry_at = $4 WHERE id = $1",
        endpoint_id, failing_since, failures, retry_at,
    )  # fmt: skip


async def rotate_secret(
    conn: Connection, endpoint_id: UUID, sealed: SealedSecret, previous_until: datetime | None
) -> None:
    """Sign with a new secret; with the old one as well until `previous_until`, if that is given."""
    await conn.execute(
        """
        UPDATE webhook_endpoints SET
            previous_secret = CASE WHEN $4::timestamptz IS NOT NULL THEN secret END, previous_until = $4,
            secret = $2, secret_hint = $3, updated_at = now()
        WHERE id = $1
        """,
        endpoint_id, sealed.secret, sealed.hint, previous_until,
    )  # fmt: skip


async def delete_endpoint(conn: Connection, user_id: UUID, endpoint_id: UUID) -> bool:
    """Forget an endpoint and its log; whether there was one."""
    deleted = await conn.fetchval(
        "DELETE FROM webhook_endpoints WHERE id = $1 AND user_id = $2 RETURNING true", endpoint_id, user_id
    )
    return bool(deleted)


async def forget_old_secrets(conn: Connection) -> None:
    """Drop the secrets that sign nothing any more."""
    await conn.execute(
        "UPDATE webhook_endpoints SET previous_secret = NULL, previous_until = NULL WHERE previous_until < now()"
    )
