"""SQL of the price table, a journal whose newest row of each name is in force, and of past jobs."""

from decimal import Decimal
from typing import Any
from uuid import UUID

from brightrun.api.pricing.models import STORAGE, BaseModel, CurrentPrices, GpuPrice, Kind, PastJob, PriceChange, Terms
from brightrun.runtime.database import Connection, Pool


async def list_gpus(conn: Connection | Pool) -> list[GpuPrice]:
    """The active GPU types, cheapest first."""
    gpus = [GpuPrice(type=row["name"], **row["terms"]) for row in await _list_active(conn, "gpu")]
    return sorted(gpus, key=lambda gpu: (gpu.price_per_hour, gpu.type))


async def list_base_models(conn: Connection | Pool) -> list[BaseModel]:
    """The active base models of the table, by name."""
    return [_base_model(row) for row in await _list_active(conn, "base_model")]


async def list_current(pool: Pool) -> list[PriceChange]:
    """All rows in force, inactive ones included."""
    rows = await pool.fetch(
        """
        SELECT DISTINCT ON (kind, name) id, kind, name, terms, active, valid_from, changed_by
        FROM prices ORDER BY kind, name, id DESC
        """
    )
    return [PriceChange(*row) for row in rows]


async def list_history(
    pool: Pool, kind: Kind | None, name: str | None, limit: int, offset: int
) -> tuple[list[PriceChange], int]:
    """A page of the journal, newest first, and the number of all rows."""
    rows = await pool.fetch(
        """
        WITH matching AS (
            SELECT * FROM prices WHERE ($1::text IS NULL OR kind = $1) AND ($2::text IS NULL OR name = $2))
        SELECT total, page.* FROM (SELECT count(*) AS total FROM matching) AS counted
        LEFT JOIN LATERAL (
            SELECT id, kind, name, terms, active, valid_from, changed_by
            FROM matching ORDER BY id DESC LIMIT $3 OFFSET $4) AS page ON true
        """,
        kind, name, limit, offset,
    )  # fmt: skip
    changes = [PriceChange(*columns) for _, *columns in rows if columns[0] is not None]
    return changes, rows[0]["total"]


async def read_current_prices(conn: Connection | Pool, gpu_type: str, base_model: str) -> CurrentPrices:
    """The prices of a GPU type, of a base model by name or alias, and of storage, in one snapshot."""
    row: Any = await conn.fetchrow(
        """
        WITH current AS MATERIALIZED (
            SELECT DISTINCT ON (kind, name) kind, name, terms, active,
                min(valid_from) OVER (PARTITION BY kind, name) AS created_at
            FROM prices ORDER BY kind, name, id DESC)
        SELECT (SELECT terms FROM current WHERE kind = 'gpu' AND name = $1 AND active) AS gpu,
            (SELECT terms ->> 'amount' FROM current WHERE kind = 'fee' AND name = $3) AS storage,
            model.name, model.terms, model.active, model.created_at
        FROM (SELECT) AS one LEFT JOIN LATERAL (
            SELECT name, terms, active, created_at FROM current
            WHERE kind = 'base_model' AND (name = $2 OR active AND terms -> 'aliases' ? $2)
            ORDER BY active DESC, name = $2 DESC LIMIT 1) AS model ON true
        """,
        gpu_type, base_model, STORAGE,
    )  # fmt: skip
    return CurrentPrices(
        gpu=GpuPrice(type=gpu_type, **row["gpu"]) if row["gpu"] else None,
        base_model=_base_model(row) if row["name"] else None,
        storage=Decimal(row["storage"] or 0),
    )


async def change_one_at_a_time(conn: Connection) -> None:
    """Make other changes wait until this transaction ends; reads continue."""
    await conn.execute("LOCK TABLE prices IN SHARE ROW EXCLUSIVE MODE")


async def find_current(conn: Connection, kind: Kind, name: str) -> PriceChange | None:
    """The row in force of a name."""
    row = await conn.fetchrow(
        """
        SELECT id, kind, name, terms, active, valid_from, changed_by FROM prices
        WHERE kind = $1 AND name = $2 ORDER BY id DESC LIMIT 1
        """,
        kind, name,
    )  # fmt: skip
    return PriceChange(*row) if row else None


async def insert_change(
    conn: Connection, kind: Kind, name: str, terms: Terms, changed_by: UUID, *, active: bool
) -> PriceChange:
    """Insert new terms."""
    row: Any = await conn.fetchrow(
        """
        INSERT INTO prices (kind, name, terms, active, changed_by) VALUES ($1, $2, $3, $4, $5)
        RETURNING id, kind, name, terms, active, valid_from, changed_by
        """,
        kind, name, terms.model_dump(mode="json"), active, changed_by,
    )  # fmt: skip
    return PriceChange(*row)


async def _list_active(conn: Connection | Pool, kind: Kind) -> list[Any]:
    return await conn.fetch(
        """
        SELECT * FROM (
            SELECT DISTINCT ON (name) name, terms, active, min(valid_from) OVER (PARTITION BY name) AS created_at
            FROM prices WHERE kind = $1 ORDER BY name, id DESC) AS current
        WHERE active
        """,
        kind,
    )


def _base_model(row: Any) -> BaseModel:
    return BaseModel(name=row["name"], active=row["active"], created_at=row["created_at"], **row["terms"])


PAST_JOBS = 200


async def list_past(conn: Connection | Pool) -> list[PastJob]:
    """The newest jobs of all users that completed without a limit and had an estimated duration."""
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
