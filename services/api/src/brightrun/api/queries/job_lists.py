"""Many jobs at once."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from brightrun.api.models import Job
from brightrun.api.queries.jobs import COLUMNS, read_job
from brightrun.api.quotes import PastJob
from brightrun.contracts.job_status import JobStatus
from brightrun.runtime.database import Connection, Pool

PAST_JOBS = 200


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs are wanted; what is not given decides nothing. Both ends of the time are included."""

    statuses: tuple[JobStatus, ...] = ()
    dataset_id: UUID | None = None
    text: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None


async def list_jobs(pool: Pool, user_id: UUID, wanted: JobFilter, limit: int, offset: int) -> tuple[list[Job], int]:
    """A page of the user's jobs, newest first, and how many there are in all.

    Each kind of filter is a statement of its own, so that PostgreSQL plans it with the index that suits it. The count
    reads an index; a `text` reads all of the user's jobs that the other filters leave.
    """
    conditions, values = _conditions(wanted)
    rows = await pool.fetch(
        f"""
        SELECT counted.total, page.* FROM (SELECT count(*) AS total FROM jobs WHERE {conditions}) AS counted
        LEFT JOIN (
            SELECT {COLUMNS} FROM jobs WHERE {conditions} ORDER BY id DESC LIMIT $2 OFFSET $3) AS page ON true
        ORDER BY page.id DESC
        """,  # noqa: S608 - constants
        user_id, limit, offset, *values,
    )  # fmt: skip
    jobs = [read_job({name: value for name, value in row.items() if name != "total"}) for row in rows if row["id"]]
    return jobs, rows[0]["total"]


async def list_past(conn: Connection | Pool) -> list[PastJob]:
    """The installation's newest jobs that completed by themselves and had an estimate of their duration."""
    rows = await conn.fetch(
        """
        SELECT gpu ->> 'type', planned_seconds,
            coalesce((ending ->> 'seconds')::float8, extract(epoch FROM
                (ending ->> 'finished_at')::timestamptz - (ending ->> 'started_at')::timestamptz)::float8),
            estimated_cost, (ending ->> 'compute_cost')::numeric + (pricing ->> 'storage')::numeric
        FROM jobs WHERE status = 'completed' AND planned_seconds > 0 AND ending ->> 'started_at' IS NOT NULL
            AND ending ->> 'stopped_by' IS NULL
        ORDER BY id DESC LIMIT $1
        """,
        PAST_JOBS,
    )
    return [PastJob(*row) for row in rows]


def _conditions(wanted: JobFilter) -> tuple[str, list[Any]]:
    """The WHERE clause and its values from `$4` on."""
    found = {
        "status = ANY(${}::text[])": list(wanted.statuses) or None,
        "dataset_id = ${}": wanted.dataset_id,
        "queued_at >= ${}": wanted.created_from,
        "queued_at <= ${}": wanted.created_to,
        "(strpos(lower(name), lower(${0})) > 0 OR strpos(lower(dataset ->> 'name'), lower(${0})) > 0"
        " OR starts_with(id::text, lower(${0})))": wanted.text or None,
    }
    given = {condition: value for condition, value in found.items() if value is not None}
    conditions = ["user_id = $1", *(text.format(number) for number, text in enumerate(given, start=4))]
    return " AND ".join(conditions), list(given.values())
