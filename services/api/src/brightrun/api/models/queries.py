"""SQL of models."""

from uuid import UUID

from brightrun.runtime.database import Pool


async def list_jobs_from(pool: Pool, user_id: UUID, model_id: UUID, limit: int) -> list[UUID]:
    """Jobs that start from the model and have not ended."""
    rows = await pool.fetch(
        """
        SELECT id FROM jobs
        WHERE user_id = $1 AND start_id = $2 AND status NOT IN ('completed', 'failed', 'cancelled')
        ORDER BY id DESC LIMIT $3
        """,
        user_id, model_id, limit,
    )  # fmt: skip
    return [row["id"] for row in rows]
