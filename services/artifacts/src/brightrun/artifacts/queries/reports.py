"""SQL on what clusters told of models."""

from uuid import UUID

from brightrun.artifacts.reports import ModelReport
from brightrun.runtime.database import Connection, Pool


async def insert_report(conn: Connection, model_id: UUID, report: ModelReport) -> None:
    """Keep what was told of a model."""
    await conn.execute(
        "INSERT INTO model_reports (model_id, report) VALUES ($1, $2)", model_id, report.model_dump(mode="json")
    )


async def find_report(pool: Pool, model_id: UUID) -> ModelReport:
    """What was told of a model; an empty report if it is not stored yet, or was before there were reports."""
    told = await pool.fetchval("SELECT report FROM model_reports WHERE model_id = $1", model_id)
    return ModelReport.model_validate(told or {})
