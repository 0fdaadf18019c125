"""Jobs."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from brightrun.api.models import Ending, Job, Latest, Reading, StoredArtifact
from brightrun.contracts.events import DatasetRef, Pricing
from brightrun.contracts.job_status import JobState, JobStatus
from brightrun.contracts.training import GpuConfig, TrainingSpec
from brightrun.runtime.database import Connection, Pool


async def insert_job(conn: Connection, job: Job) -> None:
    """Store a new job."""
    await conn.execute(
        """
        INSERT INTO jobs (id, user_id, name, preset_id, gpu, submitted, spec, pricing, estimated_cost, dataset,
                          planned_steps, planned_epochs, queued_at, status, attempt, seq, metrics)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, '{}')
        """,
        job.id, job.user_id, job.name, job.preset_id, _json(job.gpu), job.submitted, _json(job.spec),
        _json(job.pricing), job.estimated_cost, _json(job.dataset), job.planned_steps, job.planned_epochs,
        job.queued_at, job.state.status, job.state.attempt, job.state.seq,
    )  # fmt: skip


async def find_job(pool: Pool, user_id: UUID, job_id: UUID) -> Job | None:
    """The user's job."""
    row = await pool.fetchrow("SELECT * FROM jobs WHERE id = $1 AND user_id = $2", job_id, user_id)
    return _job(row) if row else None


async def lock_job(conn: Connection, user_id: UUID, job_id: UUID) -> Job | None:
    """The user's job, kept from changing until the transaction ends."""
    row = await conn.fetchrow("SELECT * FROM jobs WHERE id = $1 AND user_id = $2 FOR UPDATE", job_id, user_id)
    return _job(row) if row else None


async def lock_jobs(conn: Connection, job_ids: Sequence[UUID]) -> list[Job]:
    """Those of the jobs that exist, kept from changing; always locked in the same order."""
    rows = await conn.fetch("SELECT * FROM jobs WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE", job_ids)
    return [_job(row) for row in rows]


async def list_jobs(pool: Pool, user_id: UUID, status: JobStatus | None, limit: int, offset: int) -> list[Job]:
    """A page of the user's jobs, newest first."""
    rows = await pool.fetch(
        """
        SELECT * FROM jobs WHERE user_id = $1 AND ($2::text IS NULL OR status = $2)
        ORDER BY id DESC LIMIT $3 OFFSET $4
        """,
        user_id, status, limit, offset,
    )  # fmt: skip
    return [_job(row) for row in rows]


async def count_jobs(pool: Pool, user_id: UUID, status: JobStatus | None) -> int:
    """How many jobs all pages hold."""
    count: int = await pool.fetchval(
        "SELECT count(*) FROM jobs WHERE user_id = $1 AND ($2::text IS NULL OR status = $2)", user_id, status
    )
    return count


async def save_courses(conn: Connection, jobs: Sequence[Job]) -> None:
    """Store how jobs stand."""
    await conn.executemany(
        """
        UPDATE jobs SET status = $2, attempt = $3, seq = $4, latest = $5, metrics = $6, ending = $7, artifact = $8
        WHERE id = $1
        """,
        [
            (job.id, job.state.status, job.state.attempt, job.state.seq, _json(job.latest),
             {name: _json(reading) for name, reading in job.metrics.items()}, _json(job.ending), _json(job.artifact))
            for job in jobs
        ],
    )  # fmt: skip


async def mark_cancel_requested(conn: Connection, job_id: UUID, at: datetime) -> None:
    """Note that the user wants the job stopped."""
    await conn.execute("UPDATE jobs SET cancel_requested_at = $2 WHERE id = $1", job_id, at)


def _json(value: BaseModel | None) -> Any:
    return value.model_dump(mode="json") if value else None


def _job(row: Any) -> Job:
    columns = dict(row)
    state = JobState(JobStatus(columns.pop("status")), columns.pop("attempt"), columns.pop("seq"))
    models: dict[str, type[BaseModel]] = {
        "gpu": GpuConfig,
        "spec": TrainingSpec,
        "pricing": Pricing,
        "dataset": DatasetRef,
        "latest": Latest,
        "ending": Ending,
        "artifact": StoredArtifact,
    }
    for name, model in models.items():
        if columns[name] is not None:
            columns[name] = model.model_validate(columns[name])
    columns["metrics"] = {name: Reading(**reading) for name, reading in columns["metrics"].items()}
    return Job(state=state, **columns)
