"""SQL of jobs and idempotency keys."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter

from brightrun.api.jobs.models import KEY_LIFETIME, REPETITION_WINDOW, IdempotencyClaim, Job
from brightrun.runtime.database import Connection, Pool

COLUMNS = """
    id, user_id, name, preset_id, gpu, submitted, spec, pricing, estimated_cost, dataset, planned_steps, planned_epochs,
    planned_seconds, queued_at, dialect, suffix, metadata, retry_of, cloned_from, from_checkpoint, awaiting_dataset,
    validation, start, cancel_requested_at, pause_requested_at, pause_turn, unpausable_attempt, segments, status,
    attempt, seq, latest, metrics, ending, artifact, runs
"""
FILTERS = {
    "status": "status = ANY(${}::text[])",
    "dataset_id": "dataset_id = ${}",
    "created_from": "queued_at >= ${}",
    "created_to": "queued_at <= ${}",
    "q": "(strpos(lower(name), lower(${0})) > 0 OR strpos(lower(dataset ->> 'name'), lower(${0})) > 0"
    " OR starts_with(id::text, lower(${0})))",
}
_JOB = TypeAdapter(Job)


async def insert_job(conn: Connection, job: Job, claim: IdempotencyClaim, inputs: Sequence[UUID]) -> bool:
    """Store a new job; False if one of its inputs, which are locked, is being deleted.

    The digest of the request is stored if its client repeats requests without a key.
    """
    inserted = await conn.fetchval(
        """
        INSERT INTO jobs (
            id, user_id, name, preset_id, gpu, submitted, spec, pricing, estimated_cost, dataset, planned_steps,
            planned_epochs, planned_seconds, queued_at, dialect, suffix, metadata, retry_of, cloned_from,
            awaiting_dataset, status, attempt, seq, metrics, request_sha256, repeated, validation, start,
            from_checkpoint)
        SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
            $23, '{}', $24, $25, $26, $27, $28
        WHERE NOT EXISTS (SELECT FROM deletions WHERE object_id = ANY($29::uuid[]))
        RETURNING true
        """,
        job.id, job.user_id, job.name, job.preset_id, job.gpu, job.submitted, job.spec, job.pricing,
        job.estimated_cost, job.dataset, job.planned_steps, job.planned_epochs, job.planned_seconds, job.queued_at,
        job.dialect, job.suffix, job.metadata, job.retry_of, job.cloned_from, job.awaiting_dataset,
        job.state.status, job.state.attempt, job.state.seq, claim.sha256 if claim.guarded else None,
        claim.guarded and claim.repeated, job.validation, job.start, job.from_checkpoint, inputs,
    )  # fmt: skip
    return bool(inserted)


async def _select(conn: Connection | Pool, condition: str, *values: Any) -> list[Job]:
    return [read_job(row) for row in await conn.fetch(f"SELECT {COLUMNS} FROM jobs WHERE {condition}", *values)]  # noqa: S608 - constants


async def find_job(conn: Connection | Pool, user_id: UUID, job_id: UUID) -> Job | None:
    """The user's job, if it exists."""
    return next(iter(await _select(conn, "id = $1 AND user_id = $2", job_id, user_id)), None)


async def find_job_of_model(pool: Pool, user_id: UUID, object_id: UUID) -> Job | None:
    """The user's job with this id, or whose model has it."""
    condition = """
        user_id = $1 AND (id = $2 OR status = 'completed' AND artifact ->> 'artifact_id' = $2::text)
        ORDER BY id = $2 DESC LIMIT 1
        """
    return next(iter(await _select(pool, condition, user_id, object_id)), None)


async def lock_job(conn: Connection, user_id: UUID, job_id: UUID) -> Job | None:
    """The user's job, locked until the transaction ends."""
    return next(iter(await _select(conn, "id = $1 AND user_id = $2 FOR UPDATE", job_id, user_id)), None)


async def lock_jobs(conn: Connection, job_ids: Sequence[UUID]) -> list[Job]:
    """Those of the jobs that exist, locked in the order of their ids."""
    return await _select(conn, "id = ANY($1::uuid[]) ORDER BY id FOR UPDATE", job_ids)


async def lock_awaiting_jobs(conn: Connection, dataset_id: UUID) -> list[Job]:
    """The jobs that await a data set, to train or to evaluate on, locked."""
    condition = "(dataset_id = $1 OR validation_id = $1) AND awaiting_dataset IS NOT NULL ORDER BY id FOR UPDATE"
    return await _select(conn, condition, dataset_id)


async def slice_jobs(
    pool: Pool, user_id: UUID, after: UUID | None, limit: int, metadata: dict[str, str] | None
) -> list[Job]:
    """The user's jobs older than `after`, newest first, filtered by metadata; `{}` selects jobs without."""
    condition = """
        user_id = $1 AND ($2::uuid IS NULL OR id < $2)
        AND ($3::jsonb IS NULL OR CASE WHEN $3 = '{}' THEN metadata = '{}' ELSE metadata @> $3 END)
        ORDER BY id DESC LIMIT $4
        """
    return await _select(pool, condition, user_id, after, metadata, limit)


async def list_suffixes(pool: Connection | Pool, user_id: UUID, job_ids: Sequence[UUID]) -> dict[UUID, str]:
    """The suffixes of those of the user's jobs that have one."""
    rows = await pool.fetch(
        "SELECT id, suffix FROM jobs WHERE user_id = $1 AND id = ANY($2::uuid[]) AND suffix IS NOT NULL",
        user_id, job_ids,
    )  # fmt: skip
    return {row["id"]: row["suffix"] for row in rows}


async def save_projections(conn: Connection, jobs: Sequence[Job]) -> None:
    """Store the projections of jobs."""
    await conn.executemany(
        """
        UPDATE jobs SET status = $2, attempt = $3, seq = $4, latest = $5, metrics = $6, ending = $7, artifact = $8,
            segments = $9, unpausable_attempt = $10, runs = $11
        WHERE id = $1
        """,
        [
            (job.id, job.state.status, job.state.attempt, job.state.seq, job.latest,
             job.metrics, job.ending, job.artifact,
             list(job.segments), job.unpausable_attempt, list(job.runs))
            for job in jobs
        ],
    )  # fmt: skip


async def save_awaited(conn: Connection, job: Job) -> None:
    """Store the change of a job that awaited a data set: its data sets, estimate, end, or what it still awaits."""
    await conn.execute(
        """
        UPDATE jobs SET awaiting_dataset = $10, dataset = $2, estimated_cost = $3, planned_steps = $4,
            planned_epochs = $5, planned_seconds = $6, status = $7, ending = $8, cancel_requested_at = $9,
            validation = $11
        WHERE id = $1
        """,
        job.id, job.dataset, job.estimated_cost, job.planned_steps, job.planned_epochs, job.planned_seconds,
        job.state.status, job.ending, job.cancel_requested_at, job.awaiting_dataset,
        job.validation,
    )  # fmt: skip


async def delete_job(conn: Connection, job_id: UUID) -> None:
    """Delete a job; copies of its checkpoints expire."""
    await conn.execute(
        """
        WITH expired AS (UPDATE checkpoint_copies SET expires_at = now() WHERE job_id = $1)
        DELETE FROM jobs WHERE id = $1
        """,
        job_id,
    )


async def mark_cancel_requested(conn: Connection, job_id: UUID, at: datetime) -> None:
    """Store that cancellation was requested."""
    await conn.execute("UPDATE jobs SET cancel_requested_at = $2 WHERE id = $1", job_id, at)


async def save_pause(conn: Connection, job: Job) -> None:
    """Store the last request to pause or to resume."""
    await conn.execute(
        """
        UPDATE jobs SET pause_turn = $2, pause_requested_at = $3, status = $4, attempt = $5, seq = $6 WHERE id = $1
        """,
        job.id, job.pause_turn, job.pause_requested_at, job.state.status, job.state.attempt, job.state.seq,
    )  # fmt: skip


def read_job(row: Any) -> Job:
    """The job of a row of `COLUMNS`."""
    columns = dict(row)
    state = {name: columns.pop(name) for name in ("status", "attempt", "seq")}
    return _JOB.validate_python(columns | {"state": state})


async def list_jobs(
    pool: Pool, user_id: UUID, filters: Mapping[str, Any], limit: int, offset: int
) -> tuple[list[Job], int]:
    """A page of the user's jobs, newest first, and the number of all that match the `filters` of FILTERS.

    Each combination of filters is a statement of its own, so that PostgreSQL plans it with a suitable index. The count
    reads an index; `q` reads all of the user's jobs that match the other filters.
    """
    conditions, values = _conditions(filters)
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


def _conditions(filters: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """The WHERE clause and its values from `$4` on; None and empty values filter nothing."""
    used = [name for name in FILTERS if filters.get(name)]
    clauses = ["user_id = $1", *(FILTERS[name].format(number) for number, name in enumerate(used, start=4))]
    return " AND ".join(clauses), [filters[name] for name in used]


async def find_by_key(conn: Connection | Pool, user_id: UUID, key: str) -> tuple[bytes, UUID] | None:
    """The digest of the request with that key, and its job, within the key's lifetime."""
    row = await conn.fetchrow(
        """
        SELECT request_sha256, job_id FROM idempotency_keys
        WHERE user_id = $1 AND key = $2 AND created_at > now() - $3::interval
        """,
        user_id, key, KEY_LIFETIME,
    )  # fmt: skip
    return (row["request_sha256"], row["job_id"]) if row else None


async def insert_key(conn: Connection, user_id: UUID, claim: IdempotencyClaim, job_id: UUID) -> None:
    """Store the job of the key, in place of an expired one."""
    await conn.execute(
        """
        INSERT INTO idempotency_keys (user_id, key, request_sha256, job_id) VALUES ($1, $2, $3, $4)
        ON CONFLICT (user_id, key) DO UPDATE SET
            request_sha256 = excluded.request_sha256, job_id = excluded.job_id, created_at = excluded.created_at
        """,
        user_id, claim.key, claim.sha256, job_id,
    )  # fmt: skip


async def delete_expired_keys(conn: Connection) -> None:
    """Delete keys that are older than their lifetime."""
    await conn.execute("DELETE FROM idempotency_keys WHERE created_at <= now() - $1::interval", KEY_LIFETIME)


async def find_job_by_request(conn: Connection | Pool, user_id: UUID, claim: IdempotencyClaim) -> Job | None:
    """The newest job of the same request: for a repetition any recent one, else one that a repetition recorded."""
    condition = """
        user_id = $1 AND request_sha256 = $2
        AND CASE WHEN $3 THEN queued_at >= $4 ELSE repeated AND queued_at >= $5 END
        ORDER BY id DESC LIMIT 1
        """
    window = claim.began_at - REPETITION_WINDOW
    jobs = await _select(conn, condition, user_id, claim.sha256, claim.repeated, window, claim.began_at)
    return jobs[0] if jobs else None
