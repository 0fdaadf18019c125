"""SQL of data sets: their projection, and the jobs that use them."""

from collections.abc import Sequence
from uuid import UUID

from brightrun.api.datasets.models import Dataset
from brightrun.contracts.events import DatasetValidated
from brightrun.runtime.database import Connection, Pool


async def find_datasets(
    conn: Connection | Pool, user_id: UUID, dataset_ids: Sequence[UUID]
) -> tuple[dict[UUID, Dataset], set[UUID]]:
    """The user's validated ones among the data sets, and the ids of those that are being deleted."""
    rows = await conn.fetch(
        """
        SELECT requested.id AS requested_id, object_id IS NOT NULL AS deleted,
            datasets.id, name, format, status, training_pairs, tokens, sha256
        FROM unnest($2::uuid[]) AS requested (id)
        LEFT JOIN datasets ON datasets.id = requested.id AND datasets.user_id = $1
        LEFT JOIN deletions ON object_id = requested.id
        """,
        user_id, dataset_ids,
    )  # fmt: skip
    known = {row["id"]: Dataset(*row[2:]) for row in rows if row["id"] and not row["deleted"]}
    return known, {row["requested_id"] for row in rows if row["deleted"]}


async def save_dataset(conn: Connection, event: DatasetValidated) -> None:
    """Store the result of a validation."""
    await conn.execute(
        """
        INSERT INTO datasets (id, user_id, name, format, status, training_pairs, tokens, sha256)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (id) DO UPDATE SET name = excluded.name, format = excluded.format, status = excluded.status,
            training_pairs = excluded.training_pairs, tokens = excluded.tokens, sha256 = excluded.sha256
        """,
        event.dataset_id, event.user_id, event.name, event.format,
        event.status, event.training_pairs, event.tokens, event.sha256,
    )  # fmt: skip


async def list_live_jobs(conn: Connection, user_id: UUID, dataset_id: UUID, limit: int) -> list[UUID]:
    """Jobs that use the data set and have not ended."""
    rows = await conn.fetch(
        """
        SELECT id FROM jobs
        WHERE user_id = $1 AND (dataset_id = $2 OR validation_id = $2)
            AND status NOT IN ('completed', 'failed', 'cancelled')
        ORDER BY id DESC LIMIT $3
        """,
        user_id, dataset_id, limit,
    )  # fmt: skip
    return [row["id"] for row in rows]


async def delete_dataset(conn: Connection, user_id: UUID, dataset_id: UUID) -> None:
    """Remove the data set from the projection."""
    await conn.execute("DELETE FROM datasets WHERE id = $1 AND user_id = $2", dataset_id, user_id)


async def rename_dataset(conn: Connection, user_id: UUID, dataset_id: UUID, name: str) -> None:
    """Rename the data set in the projection."""
    await conn.execute("UPDATE datasets SET name = $3 WHERE id = $1 AND user_id = $2", dataset_id, user_id, name)
