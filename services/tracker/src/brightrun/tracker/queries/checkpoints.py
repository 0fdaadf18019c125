"""What runs saved, and what they had measured by then."""

from collections.abc import Sequence
from uuid import UUID

from brightrun.contracts.events import JobProgress
from brightrun.runtime.database import Connection
from brightrun.tracker.models import SavedCheckpoint


async def insert_checkpoints(conn: Connection, events: Sequence[JobProgress]) -> None:
    """Store the events' checkpoints; the first word about a step stands."""
    await conn.executemany(
        """
        INSERT INTO checkpoints (job_id, attempt, step, seq, saved_at) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT DO NOTHING
        """,
        [
            (event.job_id, event.attempt, checkpoint.step, event.seq, checkpoint.saved_at)
            for event in events
            for checkpoint in event.checkpoints
        ],
    )


async def list_checkpoints(
    conn: Connection, job_id: UUID, before: tuple[int, int], limit: int, step: int | None = None
) -> list[SavedCheckpoint]:
    """The job's newest checkpoints whose `(attempt, step)` is below `before`, the newest first; or those of `step`."""
    rows = await conn.fetch(
        f"""
        SELECT saved.attempt, saved.step, saved.saved_at, trained.*, validated.*
        FROM checkpoints AS saved
        LEFT JOIN LATERAL ({_last_chunk("training_loss", "token_accuracy")}) AS trained ON true
        LEFT JOIN LATERAL ({_last_chunk("validation_loss", "validation_token_accuracy")}) AS validated ON true
        WHERE saved.job_id = $1 AND (saved.attempt, saved.step) < ($2, $3)
          AND ($5::bigint IS NULL OR saved.step = $5)
        ORDER BY saved.attempt DESC, saved.step DESC LIMIT $4
        """,  # noqa: S608 - names of our own columns
        job_id, *before, limit, step,
    )  # fmt: skip
    return [SavedCheckpoint(*row) for row in rows]


def _last_chunk(loss: str, accuracy: str) -> str:
    return f"""
        SELECT step, {loss}, {accuracy} FROM metric_chunks
        WHERE job_id = $1 AND (attempt, seq) <= (saved.attempt, saved.seq) AND first_step <= saved.step
          AND {loss} IS NOT NULL
        ORDER BY attempt DESC, seq DESC LIMIT 1
        """  # noqa: S608 - names of our own columns
