"""SQL on uploads in parts."""
# ruff: noqa: S608 - only constants of this file are put into statements

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from brightrun.artifacts import leases
from brightrun.artifacts.leases import Lease
from brightrun.artifacts.uploads.models import Part, Upload
from brightrun.runtime.database import Connection

COLUMNS = """id, user_id, filename, size, status, created_at, expires_at, dataset_id, part_ids, fence,
             leased_until > now() AS busy"""


async def insert_upload(
    conn: Connection, upload_id: UUID, user_id: UUID, *, filename: str, size: int, expires_at: datetime
) -> Upload:
    """Record an upload that parts can be added to."""
    row = await conn.fetchrow(
        f"""INSERT INTO uploads (id, user_id, filename, size, expires_at) VALUES ($1, $2, $3, $4, $5)
            RETURNING {COLUMNS}""",
        upload_id, user_id, filename, size, expires_at,
    )  # fmt: skip
    assert row is not None  # noqa: S101 - RETURNING gives a row
    return Upload(**row)


async def lock_upload(conn: Connection, user_id: UUID, upload_id: UUID) -> Upload | None:
    """The user's upload, kept from changing until the transaction ends."""
    row = await conn.fetchrow(
        f"SELECT {COLUMNS} FROM uploads WHERE id = $1 AND user_id = $2 FOR UPDATE", upload_id, user_id
    )
    return Upload(**row) if row else None


async def list_parts(conn: Connection, upload_id: UUID) -> list[Part]:
    """The parts of an upload that are stored."""
    rows = await conn.fetch("SELECT id, size FROM upload_parts WHERE upload_id = $1", upload_id)
    return [Part(**row) for row in rows]


async def insert_part(conn: Connection, part_id: UUID, upload_id: UUID, size: int) -> datetime:
    """Record a part whose object is complete; returns when."""
    created_at: datetime = await conn.fetchval(
        "INSERT INTO upload_parts (id, upload_id, size) VALUES ($1, $2, $3) RETURNING created_at",
        part_id, upload_id, size,
    )  # fmt: skip
    return created_at


async def lease_upload(conn: Connection, upload_id: UUID, dataset_id: UUID, duration: timedelta) -> Lease:
    """Lease a locked upload, to put its parts together as `dataset_id`."""
    fence = await conn.fetchval(
        """UPDATE uploads SET dataset_id = $2, fence = fence + 1, leased_until = now() + $3
           WHERE id = $1 RETURNING fence""",
        upload_id, dataset_id, duration,
    )  # fmt: skip
    return Lease(upload_id, fence)


renew_completion = partial(leases.renew, "uploads", "pending")


async def save_completed(conn: Connection, lease: Lease, part_ids: Sequence[UUID]) -> bool:
    """End an upload well; False if the lease is lost, and nothing is changed then."""
    status = await conn.execute(
        """UPDATE uploads SET status = 'completed', part_ids = $3, leased_until = now()
           WHERE id = $1 AND fence = $2 AND status = 'pending'""",
        lease.id, lease.fence, part_ids,
    )  # fmt: skip
    return status == "UPDATE 1"


async def save_cancelled(conn: Connection, upload_id: UUID) -> Upload:
    """End a locked upload that is not wanted any more."""
    row = await conn.fetchrow(f"UPDATE uploads SET status = 'cancelled' WHERE id = $1 RETURNING {COLUMNS}", upload_id)
    assert row is not None  # noqa: S101 - the row is locked
    return Upload(**row)


async def expire_uploads(conn: Connection) -> list[Upload]:
    """End the uploads that were abandoned."""
    rows = await conn.fetch(
        f"""UPDATE uploads SET status = 'expired'
            WHERE status = 'pending' AND expires_at <= now() AND leased_until <= now() RETURNING {COLUMNS}"""
    )
    return [Upload(**row) for row in rows]


async def delete_parts(conn: Connection, upload_id: UUID) -> None:
    """Forget the parts of an upload that is over."""
    await conn.execute("DELETE FROM upload_parts WHERE upload_id = $1", upload_id)


async def prune_uploads(conn: Connection, age: timedelta) -> None:
    """Forget uploads that have been over for long."""
    await conn.execute("DELETE FROM uploads WHERE created_at < now() - $1::interval AND status <> 'pending'", age)
