"""The ledger, which is only ever added to."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from brightrun.contracts.values import new_id
from brightrun.runtime.database import Connection
from brightrun.tracker.models import Cost, CostRecord, DailyCost, SpentOn

RECORD = "id, job_id, attempt, cost_type, amount, recorded_at, details"


async def insert_cost(conn: Connection, cost: Cost) -> None:
    """Append to the ledger, unless it holds this cost of this attempt."""
    await conn.execute(
        """
        INSERT INTO cost_records (id, job_id, user_id, attempt, cost_type, amount, recorded_at, details)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (job_id, cost_type, attempt) DO NOTHING
        """,
        new_id(), cost.job_id, cost.user_id, cost.attempt, cost.cost_type, cost.amount, cost.recorded_at, cost.details,
    )  # fmt: skip


async def list_job_costs(conn: Connection, job_id: UUID) -> list[CostRecord]:
    """What the job has cost, oldest first."""
    rows = await conn.fetch(
        f"SELECT {RECORD} FROM cost_records WHERE job_id = $1 ORDER BY recorded_at, id",  # noqa: S608 - our own columns
        job_id,
    )
    return [CostRecord(**row) for row in rows]


async def list_costs(conn: Connection, user_id: UUID, start: datetime, end: datetime, limit: int) -> list[CostRecord]:
    """The user's newest `limit` records from `start` to `end`, both included; the newest first."""
    rows = await conn.fetch(
        f"""
        SELECT {RECORD} FROM cost_records WHERE user_id = $1 AND recorded_at BETWEEN $2 AND $3
        ORDER BY recorded_at DESC, id DESC LIMIT $4
        """,  # noqa: S608 - our own columns
        user_id, start, end, limit,
    )  # fmt: skip
    return [CostRecord(**row) for row in rows]


async def sum_by(
    conn: Connection, user_id: UUID, start: datetime, end: datetime, by: Literal["day", "job"]
) -> list[SpentOn]:
    """What the user's days (in UTC) or jobs cost from `start` to `end`, in order."""
    key = "job_id" if by == "job" else "(recorded_at AT TIME ZONE 'UTC')::date"
    rows = await conn.fetch(
        f"""
        SELECT {key}::text AS key, coalesce(sum(amount) FILTER (WHERE cost_type = 'compute'), 0),
               coalesce(sum(amount) FILTER (WHERE cost_type = 'storage'), 0)
        FROM cost_records WHERE user_id = $1 AND recorded_at BETWEEN $2 AND $3 GROUP BY key ORDER BY key
        """,  # noqa: S608 - one of two constants
        user_id, start, end,
    )  # fmt: skip
    return [SpentOn(*row) for row in rows]


async def slice_costs(
    conn: Connection, user_id: UUID, after: tuple[datetime, UUID], end: datetime, limit: int
) -> list[CostRecord]:
    """The user's first `limit` records that follow a time and id, up to `end`; oldest first."""
    rows = await conn.fetch(
        f"""
        SELECT {RECORD} FROM cost_records WHERE user_id = $1 AND (recorded_at, id) > ($2, $3) AND recorded_at <= $4
        ORDER BY recorded_at, id LIMIT $5
        """,  # noqa: S608 - our own columns
        user_id, *after, end, limit,
    )  # fmt: skip
    return [CostRecord(**row) for row in rows]


async def sum_costs(conn: Connection, user_id: UUID, start: datetime, end: datetime) -> list[DailyCost]:
    """What the user's days from `start` to `end` came to, by type; days in UTC, in order."""
    rows = await conn.fetch(
        """
        SELECT (recorded_at AT TIME ZONE 'UTC')::date AS day, cost_type, sum(amount) AS amount FROM cost_records
        WHERE user_id = $1 AND recorded_at BETWEEN $2 AND $3
        GROUP BY day, cost_type ORDER BY day, cost_type
        """,
        user_id, start, end,
    )  # fmt: skip
    return [DailyCost(**row) for row in rows]
