"""SQL of data sets: their projection, locks and deletions."""

from collections.abc import Sequence
from uuid import UUID

from brightrun.api.datasets.models import Dataset
from brightrun.contracts.events import DatasetValidated
from brightrun.runtime.database import Connection, Pool
from brightrun.runtime.locks import lock, lock_shared


async def lock_dataset(conn: Connection, dataset_id: UUID) -> None:
    """Make others that lock or share the data set wait until this transaction ends."""
    await lock(conn, f"dataset:{dataset_id}")


async def share_dataset(conn: Connection, dataset_id: UUID) -> None:
    """Keep the data set from being deleted until this transaction ends; others may share it meanwhile."""
    await lock_shared(conn, f"dataset:{dataset_id}")


async def find_datasets(
    conn: Connection | Pool, user_id: UUID, dataset_ids: Sequence[UUID]
) -> tuple[dict[UUID, Dataset], set[UUID]]:
    """The user's validated ones among the data sets, and the ids of those that are being deleted."""
    rows = await conn.fetch(
        """
        SELECT requested.id AS requested_id, dataset_id IS NOT NULL AS deleted,
            datasets.id, name, format, status, training_pairs, tokens, sha256
        FROM unnest($2::uuid[]) AS requested (id)
        LEFT JOIN datasets ON datasets.id = requested.id AND datasets.user_id = $1
        LEFT JOIN dataset_deletions ON dataset_id = requested.id
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


async def insert_deletion(conn: Connection, user_id: UUID, dataset_id: UUID) -> None:
    """Store the decision to delete the data set, and remove its projection."""
    await conn.execute(
        "INSERT INTO dataset_deletions (dataset_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        dataset_id, user_id,
    )  # fmt: skip
    await conn.execute("DELETE FROM datasets WHERE id = $1 AND user_id = $2", dataset_id, user_id)


async def list_pending_deletions(pool: Pool, limit: int) -> list[tuple[UUID, UUID]]:
    """`(user_id, dataset_id)` of deletions that were decided 30 seconds ago or earlier and are not done."""
    rows = await pool.fetch(
        """
        SELECT user_id, dataset_id FROM dataset_deletions
        WHERE NOT done AND decided_at < now() - interval '30 seconds' ORDER BY decided_at LIMIT $1
        """,
        limit,
    )
    return [(row["user_id"], row["dataset_id"]) for row in rows]


async def mark_deleted(conn: Connection, dataset_id: UUID) -> None:
    """Store that the deletion is done."""
    await conn.execute("UPDATE dataset_deletions SET done = true WHERE dataset_id = $1", dataset_id)


async def rename_dataset(conn: Connection, user_id: UUID, dataset_id: UUID, name: str) -> None:
    """Rename the data set in the projection."""
    await conn.execute("UPDATE datasets SET name = $3 WHERE id = $1 AND user_id = $2", dataset_id, user_id, name)
