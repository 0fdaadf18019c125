"""SQL of models."""

from collections.abc import Sequence
from uuid import UUID

from brightrun.runtime.database import Connection, Pool


async def list_presets(pool: Pool, user_id: UUID, job_ids: Sequence[UUID]) -> dict[str, str]:
    """The presets of those of the user's jobs that are not deleted, by their ids."""
    rows = await pool.fetch(
        "SELECT id::text, preset_id FROM jobs WHERE user_id = $1 AND id = ANY($2::uuid[])", user_id, job_ids
    )
    return {row["id"]: row["preset_id"] for row in rows}


async def list_jobs_from(conn: Connection, user_id: UUID, model_id: UUID, limit: int) -> list[UUID]:
    """Jobs that start from the model and have not ended."""
    rows = await conn.fetch(
        """
        SELECT id FROM jobs
        WHERE user_id = $1 AND start_id = $2 AND status NOT IN ('completed', 'failed', 'cancelled')
        ORDER BY id DESC LIMIT $3
        """,
        user_id, model_id, limit,
    )  # fmt: skip
    return [row["id"] for row in rows]
