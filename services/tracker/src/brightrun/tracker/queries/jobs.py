"""Whose jobs are, and which of them still matter."""

from collections.abc import Iterable
from uuid import UUID

from brightrun.runtime.database import Connection


async def lock_owners(conn: Connection, owners: Iterable[tuple[UUID, UUID]]) -> dict[UUID, UUID]:
    """Lock the jobs of `(job_id, user_id)` for this transaction; returns the owner of each that is not deleted.

    The first event about a job decides its owner.
    """
    job_ids, user_ids = zip(*sorted(set(owners)), strict=True)
    await conn.execute(
        "INSERT INTO jobs (job_id, user_id) SELECT * FROM unnest($1::uuid[], $2::uuid[]) ON CONFLICT DO NOTHING",
        job_ids, user_ids,
    )  # fmt: skip
    rows = await conn.fetch(
        "SELECT job_id, user_id, deleted FROM jobs WHERE job_id = ANY($1) ORDER BY job_id FOR UPDATE", job_ids
    )
    return {row["job_id"]: row["user_id"] for row in rows if not row["deleted"]}


async def lock_job(conn: Connection, job_id: UUID) -> None:
    """Let nobody else write about the job until this transaction is over."""
    await conn.execute("SELECT FROM jobs WHERE job_id = $1 FOR UPDATE", job_id)


async def mark_deleted(conn: Connection, job_id: UUID) -> None:
    """Keep nothing more of the job; its row stays and says so."""
    await conn.execute("UPDATE jobs SET deleted = true WHERE job_id = $1", job_id)


async def is_owner(conn: Connection, job_id: UUID, user_id: UUID) -> bool:
    """Whether the job is known, not deleted, and the user's."""
    found = await conn.fetchval(
        "SELECT true FROM jobs WHERE job_id = $1 AND user_id = $2 AND NOT deleted", job_id, user_id
    )
    return bool(found)
