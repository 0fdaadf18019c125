"""SQL of limits and billed segments."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from brightrun.contracts.events import JobQueued, Segment
from brightrun.runtime.database import Connection
from brightrun.scheduler.limits.models import Allowance, LimitReached
from brightrun.scheduler.models import Key
from brightrun.scheduler.states import AttemptState


async def read_segments(conn: Connection, job_ids: Collection[UUID]) -> dict[UUID, list[Segment]]:
    """What is billed of the jobs' ended attempts, in order."""
    rows = await conn.fetch(
        """
        SELECT job_id, attempt, started_at, finished_at, released_at FROM attempts
        WHERE job_id = ANY($1) AND billed ORDER BY job_id, attempt
        """,
        list(job_ids),
    )
    segments: dict[UUID, list[Segment]] = {job_id: [] for job_id in job_ids}
    for row in rows:
        segments[row["job_id"]].append(Segment(**dict(row)))
    return segments


async def save_segment(conn: Connection, job_id: UUID, segment: Segment) -> None:
    """Bill a segment."""
    await conn.execute(
        """
        UPDATE attempts SET billed = true, started_at = $3, finished_at = $4, released_at = $5
        WHERE job_id = $1 AND attempt = $2
        """,
        job_id, segment.attempt, segment.started_at, segment.finished_at, segment.released_at,
    )  # fmt: skip


async def save_allowances(conn: Connection, allowances: Mapping[Key, Allowance]) -> None:
    """Remember how long these attempts may train."""
    await conn.execute(
        """
        UPDATE attempts a SET allowed_seconds = allowed.seconds, limited_by = allowed.reason
        FROM unnest($1::uuid[], $2::int[], $3::float8[], $4::text[]) AS allowed (job_id, attempt, seconds, reason)
        WHERE (a.job_id, a.attempt) = (allowed.job_id, allowed.attempt)
        """,
        [job_id for job_id, _ in allowances], [attempt for _, attempt in allowances],
        [allowance.seconds for allowance in allowances.values()],
        [allowance.limit for allowance in allowances.values()],
    )  # fmt: skip


async def take_reached(conn: Connection) -> Sequence[LimitReached]:
    """Mark the live runs whose `stop_at` has come to be stopped, and return them."""
    rows = await conn.fetch(
        f"""
        UPDATE attempts a SET stop_decided_at = now()
        FROM queue q, (
            SELECT job_id, attempt FROM attempts
            WHERE state = '{AttemptState.LIVE}' AND stop_decided_at IS NULL AND stop_at <= now()
            ORDER BY job_id, attempt FOR UPDATE SKIP LOCKED) due
        WHERE (a.job_id, a.attempt) = (due.job_id, due.attempt) AND q.job_id = a.job_id
        RETURNING q.job::text AS job, a.limited_by, a.started_at
        """
    )
    return [
        LimitReached(JobQueued.model_validate_json(row["job"]), row["limited_by"], row["started_at"]) for row in rows
    ]
