"""All SQL of the tracker's slice."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from math import isnan
from uuid import UUID

import numpy as np

from brightrun.contracts.training import MetricPoint
from brightrun.contracts.values import new_id
from brightrun.runtime.database import Connection
from brightrun.tracker.models import (
    PACKED,
    QUANTITIES,
    Chunk,
    Cost,
    CostRecord,
    Curve,
    DailyCost,
    Entry,
    Floats,
    Integers,
    LoggedEntry,
)

RECORD = "id, job_id, attempt, cost_type, amount, recorded_at, details"
NOT_MEASURED = np.array(np.nan, PACKED).tobytes()


async def remember_owners(conn: Connection, owners: Iterable[tuple[UUID, UUID]]) -> None:
    """Note whose each job is, from `(job_id, user_id)`; the first word stands."""
    job_ids, user_ids = zip(*sorted(set(owners)), strict=True)
    await conn.execute(
        "INSERT INTO jobs (job_id, user_id) SELECT * FROM unnest($1::uuid[], $2::uuid[]) ON CONFLICT DO NOTHING",
        job_ids, user_ids,
    )  # fmt: skip


async def is_owner(conn: Connection, job_id: UUID, user_id: UUID) -> bool:
    """Whether the job is known and the user's."""
    found = await conn.fetchval("SELECT true FROM jobs WHERE job_id = $1 AND user_id = $2", job_id, user_id)
    return bool(found)


async def insert_chunks(conn: Connection, chunks: Sequence[Chunk]) -> None:
    """Store the chunks that are not there yet, in one round trip."""
    columns = ", ".join(QUANTITIES)
    places = ", ".join(f"${place}" for place in range(6, 6 + len(QUANTITIES)))
    await conn.executemany(
        f"""
        INSERT INTO metric_chunks (job_id, attempt, seq, first_step, last_step, {columns})
        VALUES ($1, $2, $3, $4, $5, {places}) ON CONFLICT DO NOTHING
        """,  # noqa: S608 - names of our own columns
        [(one.job_id, one.attempt, one.seq, one.first_step, one.last_step, *one.packed) for one in chunks],
    )


async def load_curve(conn: Connection, job_id: UUID, first: int, last: int) -> Curve:
    """The losses of every chunk that reaches into the steps from `first` to `last`, in no order of theirs.

    A sort in SQL would carry the arrays along, over the disk where there are many.
    """
    rows = await conn.fetch(
        """
        SELECT attempt, seq, step, training_loss, validation_loss FROM metric_chunks
        WHERE job_id = $1 AND last_step >= $2 AND first_step <= $3
        """,
        job_id, first, last,
    )  # fmt: skip
    lengths = np.array([len(row["step"]) // len(NOT_MEASURED) for row in rows], dtype=np.int64)
    starts = np.cumsum(lengths) - lengths
    return Curve(
        attempt=np.repeat(np.array([row["attempt"] for row in rows], dtype=np.int64), lengths),
        seq=np.repeat(np.array([row["seq"] for row in rows], dtype=np.int64), lengths),
        offset=np.arange(lengths.sum(), dtype=np.int64) - np.repeat(starts, lengths),
        step=np.frombuffer(b"".join([row["step"] for row in rows]), PACKED),
        training_loss=_unpack([row["training_loss"] for row in rows], lengths),
        validation_loss=_unpack([row["validation_loss"] for row in rows], lengths),
    )


def _unpack(columns: Sequence[bytes | None], lengths: Integers) -> Floats:
    return np.frombuffer(
        b"".join([packed or NOT_MEASURED * length for packed, length in zip(columns, lengths.tolist(), strict=True)]),
        PACKED,
    )


async def load_points(conn: Connection, job_id: UUID, curve: Curve, indices: Integers) -> list[MetricPoint]:
    """Every quantity of the curve's points at `indices`, in their order."""
    quantities = ", ".join(f"substr({name}, {len(NOT_MEASURED)} * at + 1, {len(NOT_MEASURED)})" for name in QUANTITIES)
    # LIMIT makes it one index lookup a point; the planner would rather read all of the job's chunks.
    rows = await conn.fetch(
        f"""
        SELECT point.*
        FROM unnest($2::integer[], $3::integer[], $4::integer[]) WITH ORDINALITY AS place (attempt, seq, at, position)
        CROSS JOIN LATERAL (
            SELECT {quantities} FROM metric_chunks AS chunk
            WHERE job_id = $1 AND chunk.attempt = place.attempt AND chunk.seq = place.seq LIMIT 1
        ) AS point
        ORDER BY position
        """,  # noqa: S608 - names of our own columns
        job_id, *(places[indices].tolist() for places in (curve.attempt, curve.seq, curve.offset)),
    )  # fmt: skip
    values = np.frombuffer(b"".join([packed or NOT_MEASURED for row in rows for packed in row]), PACKED)
    return [
        MetricPoint.model_validate(dict(zip(QUANTITIES, (None if isnan(one) else one for one in point), strict=True)))
        for point in values.reshape(-1, len(QUANTITIES)).tolist()
    ]


async def find_unlogged(conn: Connection, entries: Sequence[Entry]) -> set[tuple[UUID, str]]:
    """The `(job_id, source)` of those `entries` that the log does not hold."""
    rows = await conn.fetch(
        """
        SELECT job_id, source FROM unnest($1::uuid[], $2::text[]) AS entry (job_id, source)
        WHERE NOT EXISTS (
            SELECT FROM job_events AS logged WHERE logged.job_id = entry.job_id AND logged.source = entry.source
        )
        """,
        [entry.job_id for entry in entries], [entry.source for entry in entries],
    )  # fmt: skip
    return {(row["job_id"], row["source"]) for row in rows}


async def lock_jobs(conn: Connection, job_ids: Iterable[UUID]) -> None:
    """Keep other transactions from logging anything of these jobs until this one is over."""
    await conn.execute("SELECT FROM jobs WHERE job_id = ANY($1) ORDER BY job_id FOR UPDATE", list(job_ids))


async def insert_entries(conn: Connection, entries: Iterable[Entry]) -> None:
    """Append to the event log what it does not hold."""
    await conn.executemany(
        """
        INSERT INTO job_events (job_id, source, type, level, message, data, occurred_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING
        """,
        [(one.job_id, one.source, one.type, one.level, one.message, one.data, one.occurred_at) for one in entries],
    )


async def list_entries(conn: Connection, job_id: UUID, after: int, limit: int) -> list[LoggedEntry]:
    """The job's log after entry `after`, in the order in which it was written."""
    rows = await conn.fetch(
        """
        SELECT id, type, level, message, data, occurred_at FROM job_events
        WHERE job_id = $1 AND id > $2 ORDER BY id LIMIT $3
        """,
        job_id, after, limit,
    )  # fmt: skip
    return [LoggedEntry(**row) for row in rows]


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
