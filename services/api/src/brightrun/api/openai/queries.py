"""SQL of results files."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from brightrun.runtime.database import Connection, Pool


@dataclass(frozen=True, slots=True)
class FinishedJob:
    """A completed job as its results file needs it; `results_size` in bytes, None until it was rendered once."""

    id: UUID
    finished_at: datetime
    results_size: int | None


FINISHED = "(ending ->> 'finished_at')::timestamptz"


async def slice_results(
    pool: Pool, user_id: UUID, after: tuple[datetime, UUID] | None, limit: int, *, newest_first: bool
) -> list[FinishedJob]:
    """The user's completed jobs in the order of their ends, after `(finished_at, id)`."""
    beyond, order = ("<", "DESC") if newest_first else (">", "ASC")
    rows = await pool.fetch(
        f"""
        SELECT id, {FINISHED} AS finished_at, bytes AS results_size
        FROM jobs LEFT JOIN result_sizes ON job_id = id
        WHERE user_id = $1 AND status = 'completed'
            AND ($2::timestamptz IS NULL OR ({FINISHED}, id) {beyond} ($2, $3::uuid))
        ORDER BY {FINISHED} {order}, id {order} LIMIT $4
        """,  # noqa: S608 - constants
        user_id, *(after or (None, None)), limit,
    )  # fmt: skip
    return [FinishedJob(*row) for row in rows]


async def find_results(pool: Pool, user_id: UUID, job_id: UUID) -> FinishedJob | None:
    """The user's job, if it is completed."""
    row = await pool.fetchrow(
        f"""
        SELECT id, {FINISHED} AS finished_at, bytes FROM jobs LEFT JOIN result_sizes ON job_id = id
        WHERE user_id = $1 AND id = $2 AND status = 'completed'
        """,  # noqa: S608 - constants
        user_id, job_id,
    )  # fmt: skip
    return FinishedJob(*row) if row else None


async def save_size(conn: Connection, job_id: UUID, size: int) -> None:
    """Store the final size of a job's results, unless the job was deleted meanwhile."""
    await conn.execute(
        """
        INSERT INTO result_sizes (job_id, bytes) SELECT id, $2 FROM jobs WHERE id = $1 ON CONFLICT DO NOTHING
        """,
        job_id, size,
    )  # fmt: skip
