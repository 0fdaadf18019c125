"""SQL on models, their files, their reports, and the loss curves that they are evaluated by."""
# ruff: noqa: S608 - only constants of this file are put into statements

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Literal
from uuid import UUID

import asyncpg
from pydantic import BaseModel

from brightrun.artifacts import leases
from brightrun.artifacts.leases import Lease
from brightrun.artifacts.models.models import Curve, Model, ModelReport, QualityMetrics
from brightrun.contracts.checkpoints import CheckpointCopy
from brightrun.contracts.events import AdapterRef, ArtifactFile, DatasetRef, JobCompleted, Pricing
from brightrun.contracts.training import GpuConfig, TrainingSpec
from brightrun.runtime.database import Connection, Pool

COLUMNS = """id, job_id, user_id, name, version, status, cluster, external_job_id, spec, gpu, dataset, pricing,
             trained_tokens, started_at, finished_at, trained_seconds, cost, stopped_by, curve, quality, created_at,
             tries, problem, fence, validation, start, attempt, step"""

Sort = Literal["created_at", "quality", "cost"]
ORDERS: Mapping[Sort, str] = {
    "created_at": "created_at DESC, id",
    "quality": "(quality->>'overall_score')::int DESC NULLS LAST, created_at DESC, id",
    "cost": "cost DESC, created_at DESC, id",
}


async def insert_model(
    conn: Connection,
    model_id: UUID,
    job: JobCompleted,
    *,
    name: str,
    started_at: datetime,
    trained_seconds: float,
    cost: Decimal,
) -> None:
    """Expect the files of a completed job; a second time changes nothing."""
    await conn.execute(
        """INSERT INTO models (id, job_id, user_id, name, cluster, external_job_id, spec, gpu, dataset, pricing,
                               trained_tokens, started_at, finished_at, trained_seconds, cost, stopped_by, validation,
                               start)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
           ON CONFLICT (job_id) WHERE step IS NULL DO NOTHING""",
        model_id, job.job_id, job.user_id, name, job.cluster, job.external_job_id,
        job.spec.model_dump(mode="json"), job.gpu.model_dump(mode="json"), job.dataset.model_dump(mode="json"),
        job.pricing.model_dump(mode="json"), job.trained_tokens, started_at, job.finished_at,
        trained_seconds, cost, job.stopped_by, _json(job.validation), _json(job.start),
    )  # fmt: skip


async def insert_copy(conn: Connection, model_id: UUID, user_id: UUID, copy: CheckpointCopy) -> None:
    """Expect the files of a checkpoint, again if their transfer has failed."""
    await conn.execute(
        """INSERT INTO models (id, job_id, user_id, name, cluster, external_job_id, spec, gpu, dataset, pricing,
                               validation, start, attempt, step, trained_tokens, started_at, finished_at,
                               trained_seconds, cost)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 0, now(), now(), 0, 0)
           ON CONFLICT (id) DO UPDATE SET status = 'pending', tries = 0, problem = NULL, leased_until = now()
           WHERE models.user_id = excluded.user_id AND models.status = 'failed'""",
        model_id, copy.job_id, user_id, copy.name, copy.cluster, copy.external_job_id, _json(copy.spec),
        _json(copy.gpu), _json(copy.dataset), _json(copy.pricing), _json(copy.validation), _json(copy.start),
        copy.attempt, copy.step,
    )  # fmt: skip


async def count_pending_copies(conn: Connection, user_id: UUID) -> int:
    """How many of the user's checkpoints are being copied."""
    return int(
        await conn.fetchval(
            "SELECT count(*) FROM models WHERE user_id = $1 AND step IS NOT NULL AND status = 'pending'", user_id
        )
    )


async def find_model(pool: Pool, user_id: UUID, model_id: UUID) -> Model | None:
    """The user's model; None if there is none or it is another's."""
    row = await pool.fetchrow(f"SELECT {COLUMNS} FROM models WHERE id = $1 AND user_id = $2", model_id, user_id)
    return _model(row) if row else None


async def list_models(pool: Pool, user_id: UUID, sort: Sort, offset: int, limit: int) -> Sequence[Model]:
    """The user's models, without copies of checkpoints: newest, best or dearest first."""
    rows = await pool.fetch(
        f"SELECT {COLUMNS} FROM models WHERE user_id = $1 AND step IS NULL ORDER BY {ORDERS[sort]} OFFSET $2 LIMIT $3",
        user_id, offset, limit,
    )  # fmt: skip
    return [_model(row) for row in rows]


async def update_model(
    conn: Connection, user_id: UUID, model_id: UUID, name: str | None, version: str | None
) -> Model | None:
    """Change what is not None of the user's model; None if there is none."""
    row = await conn.fetchrow(
        f"""UPDATE models SET name = coalesce($3, name), version = coalesce($4, version)
            WHERE id = $1 AND user_id = $2 RETURNING {COLUMNS}""",
        model_id, user_id, name, version,
    )  # fmt: skip
    return _model(row) if row else None


async def lock_model(conn: Connection, user_id: UUID, model_id: UUID) -> str | None:
    """The status of the user's model, kept from changing until the transaction ends; None if there is none."""
    status: str | None = await conn.fetchval(
        "SELECT status FROM models WHERE id = $1 AND user_id = $2 FOR UPDATE", model_id, user_id
    )
    return status


async def delete_model(conn: Connection, model_id: UUID) -> None:
    """Forget a model and its files."""
    await conn.execute("DELETE FROM models WHERE id = $1", model_id)


async def count_models(pool: Pool, user_id: UUID) -> int:
    """How many models the user has, without copies of checkpoints."""
    return int(await pool.fetchval("SELECT count(*) FROM models WHERE user_id = $1 AND step IS NULL", user_id))


async def list_files(pool: Pool, model_ids: Sequence[UUID]) -> dict[UUID, list[ArtifactFile]]:
    """The stored files of each model, by name."""
    rows = await pool.fetch(
        "SELECT model_id, name, size, sha256 FROM model_files WHERE model_id = ANY($1) ORDER BY model_id, name",
        model_ids,
    )
    files: dict[UUID, list[ArtifactFile]] = {model_id: [] for model_id in model_ids}
    for row in rows:
        files[row["model_id"]].append(ArtifactFile(name=row["name"], size=row["size"], sha256=row["sha256"]))
    return files


async def find_curve(conn: Connection, job_id: UUID) -> Curve:
    """A job's loss curve; an empty one if it reported no point."""
    summary = await conn.fetchval("SELECT summary FROM curves WHERE job_id = $1", job_id)
    return Curve.model_validate(summary or {})


async def lock_curve(conn: Connection, job_id: UUID) -> tuple[Curve, tuple[int, int]]:
    """A job's curve and the `(attempt, seq)` that it is known up to, held for this transaction."""
    row = await conn.fetchrow(
        """INSERT INTO curves (job_id, attempt, seq, summary) VALUES ($1, 0, 0, '{}')
           ON CONFLICT (job_id) DO UPDATE SET seq = curves.seq RETURNING attempt, seq, summary""",
        job_id,
    )
    assert row is not None  # noqa: S101 - RETURNING gives a row
    return Curve.model_validate(row["summary"]), (row["attempt"], row["seq"])


async def save_curve(conn: Connection, job_id: UUID, curve: Curve, known: tuple[int, int]) -> None:
    """Store a locked curve."""
    await conn.execute(
        "UPDATE curves SET attempt = $2, seq = $3, summary = $4 WHERE job_id = $1", job_id, *known, curve.model_dump()
    )


async def lease_model(conn: Connection, cluster: str, duration: timedelta, *, copies: bool = True) -> Model | None:
    """Lease the cluster's model whose transfer is due, or whose mover is silent past its lease.

    Copies of checkpoints wait for models, and are left out without `copies`.
    """
    row = await conn.fetchrow(
        f"""UPDATE models SET fence = fence + 1, tries = tries + 1, leased_until = now() + $2
            WHERE id = (
                SELECT id FROM models WHERE status = 'pending' AND cluster = $1 AND leased_until <= now()
                  AND (step IS NULL OR $3)
                ORDER BY step IS NOT NULL, leased_until FOR UPDATE SKIP LOCKED LIMIT 1
            )
            RETURNING {COLUMNS}""",
        cluster, duration, copies,
    )  # fmt: skip
    return _model(row) if row else None


renew_transfer = partial(leases.renew, "models", "pending")


async def save_stored(
    conn: Connection, lease: Lease, curve: Curve | None = None, quality: QualityMetrics | None = None
) -> bool:
    """Mark a model's files as whole; False if the lease is lost, and nothing is changed then."""
    status = await conn.execute(
        """UPDATE models SET status = 'stored', curve = $3, quality = $4, problem = NULL, verified_at = now(),
                             leased_until = now()
           WHERE id = $1 AND fence = $2 AND status = 'pending'""",
        lease.id, lease.fence, _json(curve), _json(quality),
    )  # fmt: skip
    return status == "UPDATE 1"


async def insert_files(conn: Connection, model_id: UUID, files: Sequence[ArtifactFile]) -> None:
    """Record a model's files."""
    await conn.executemany(
        "INSERT INTO model_files (model_id, name, size, sha256) VALUES ($1, $2, $3, $4)",
        [(model_id, file.name, file.size, file.sha256) for file in files],
    )


async def save_problem(conn: Connection, lease: Lease, status: str, problem: str, pause: timedelta) -> None:
    """Record why a try failed; a `pending` model is tried again after `pause`. Void without the lease."""
    await conn.execute(
        """UPDATE models SET status = $3, problem = $4, leased_until = now() + $5
           WHERE id = $1 AND fence = $2 AND status = 'pending'""",
        lease.id, lease.fence, status, problem, pause,
    )  # fmt: skip


async def insert_report(conn: Connection, model_id: UUID, report: ModelReport) -> None:
    """Store the report on a model."""
    await conn.execute(
        "INSERT INTO model_reports (model_id, report) VALUES ($1, $2)", model_id, report.model_dump(mode="json")
    )


async def find_report(pool: Pool, model_id: UUID) -> ModelReport:
    """The report on a model; an empty one if the model is not stored yet."""
    report = await pool.fetchval("SELECT report FROM model_reports WHERE model_id = $1", model_id)
    return ModelReport.model_validate(report or {})


def _json(value: BaseModel | None) -> Any:
    return value.model_dump(mode="json") if value else None


def _model(row: asyncpg.Record) -> Model:
    parsed = {
        "spec": TrainingSpec.model_validate(row["spec"]),
        "gpu": GpuConfig.model_validate(row["gpu"]),
        "dataset": DatasetRef.model_validate(row["dataset"]),
        "pricing": Pricing.model_validate(row["pricing"]),
        "validation": DatasetRef.model_validate(row["validation"]) if row["validation"] else None,
        "start": AdapterRef.model_validate(row["start"]) if row["start"] else None,
        "curve": Curve.model_validate(row["curve"]) if row["curve"] else None,
        "quality": QualityMetrics.model_validate(row["quality"]) if row["quality"] else None,
    }
    return Model(**dict(row) | parsed)
