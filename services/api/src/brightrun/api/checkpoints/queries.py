"""SQL of copies of checkpoints."""

from datetime import timedelta
from uuid import UUID

from brightrun.api.checkpoints.models import Copy
from brightrun.runtime.database import Connection, Pool


async def reserve_copy(
    conn: Connection, user_id: UUID, job_id: UUID, attempt: int, step: int, *, new_id: UUID, keep: timedelta
) -> UUID:
    """The model for a copy of the checkpoint, which does not expire for `keep`; a deleted one is replaced."""
    model_id: UUID = await conn.fetchval(
        """
        INSERT INTO checkpoint_copies AS known (job_id, attempt, step, user_id, model_id, expires_at)
        VALUES ($1, $2, $3, $4, $5, now() + $6::interval)
        ON CONFLICT (job_id, attempt, step) DO UPDATE SET
            (model_id, stored) = (
                SELECT CASE WHEN deleted THEN excluded.model_id ELSE known.model_id END, known.stored AND NOT deleted
                FROM (SELECT EXISTS (SELECT FROM deletions WHERE object_id = known.model_id)) AS decided (deleted)),
            expires_at = greatest(known.expires_at, excluded.expires_at)
        RETURNING model_id
        """,
        job_id, attempt, step, user_id, new_id, keep,
    )  # fmt: skip
    return model_id


async def keep_stored(conn: Connection, model_id: UUID, keep: timedelta) -> None:
    """Store that the copy is complete, and that it does not expire for `keep`."""
    await conn.execute(
        "UPDATE checkpoint_copies SET stored = true, expires_at = now() + $2::interval WHERE model_id = $1",
        model_id, keep,
    )  # fmt: skip


async def list_copies(pool: Pool, job_id: UUID) -> dict[tuple[int, int], Copy]:
    """The copies of the job's checkpoints by `(attempt, step)`, without deleted ones."""
    rows = await pool.fetch(
        """
        SELECT attempt, step, model_id, stored, expires_at FROM checkpoint_copies
        WHERE job_id = $1 AND NOT EXISTS (SELECT FROM deletions WHERE object_id = model_id)
        """,
        job_id,
    )
    return {(row["attempt"], row["step"]): Copy(**row) for row in rows}


async def postpone_expired(conn: Connection, pause: timedelta) -> tuple[UUID, UUID] | None:
    """Owner and model of the copy that expired first, which expires again after `pause`; None if there is none."""
    row = await conn.fetchrow(
        """
        UPDATE checkpoint_copies SET expires_at = now() + $1::interval
        WHERE (job_id, attempt, step) = (
            SELECT job_id, attempt, step FROM checkpoint_copies WHERE expires_at <= now()
            ORDER BY expires_at FOR UPDATE SKIP LOCKED LIMIT 1)
        RETURNING user_id, model_id
        """,
        pause,
    )
    return (row["user_id"], row["model_id"]) if row else None


async def delete_copy(conn: Connection, model_id: UUID) -> None:
    """Forget a copy whose model is deleted."""
    await conn.execute("DELETE FROM checkpoint_copies WHERE model_id = $1", model_id)
