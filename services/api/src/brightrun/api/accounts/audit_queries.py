"""SQL of the audit log."""

from typing import Any

from brightrun.api.accounts.models import AuditEntry, User
from brightrun.runtime.database import Connection, Pool


async def insert_entry(
    conn: Connection, admin: User, action: str, target: str, *, details: dict[str, Any], outcome: str | None
) -> int:
    """Append an entry, and return its id."""
    entry_id: int = await conn.fetchval(
        """
        INSERT INTO audit_log (user_id, email, name, action, target, details, outcome)
        VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id
        """,
        admin.id, admin.email, admin.name, action, target, details, outcome,
    )  # fmt: skip
    return entry_id


async def set_outcome(conn: Connection, entry_id: int, outcome: str) -> None:
    """Store how the change ended."""
    await conn.execute("UPDATE audit_log SET outcome = $2 WHERE id = $1", entry_id, outcome)


async def list_entries(pool: Pool, limit: int, offset: int) -> tuple[list[AuditEntry], int]:
    """A page of the log, newest first, and the number of all entries."""
    rows = await pool.fetch(
        """
        SELECT id, occurred_at, user_id, email, name, action, target, details, outcome
        FROM audit_log ORDER BY id DESC LIMIT $1 OFFSET $2
        """,
        limit, offset,
    )  # fmt: skip
    return [AuditEntry(**row) for row in rows], await pool.fetchval("SELECT count(*) FROM audit_log")
