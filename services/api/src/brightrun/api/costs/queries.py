"""SQL on what jobs with costs are called."""

from collections.abc import Collection
from uuid import UUID

from brightrun.api.costs.models import JobLabels
from brightrun.runtime.database import Pool


async def find_labels(pool: Pool, user_id: UUID, job_ids: Collection[UUID]) -> dict[UUID, JobLabels]:
    """Those of the user's jobs; deleted ones have none."""
    rows = await pool.fetch(
        """
        SELECT id, name, dataset_id, dataset ->> 'name', (artifact ->> 'artifact_id')::uuid, estimated_cost,
               status = 'completed'
        FROM jobs WHERE user_id = $1 AND id = ANY($2::uuid[])
        """,
        user_id, list(job_ids),
    )  # fmt: skip
    return {row["id"]: JobLabels(*row) for row in rows}
