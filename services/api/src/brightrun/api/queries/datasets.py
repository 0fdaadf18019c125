"""The projection of data sets."""

from typing import Any
from uuid import UUID

from brightrun.api.models import Dataset
from brightrun.contracts.events import DatasetValidated
from brightrun.runtime.database import Connection, Pool


async def await_dataset(conn: Connection, dataset_id: UUID) -> None:
    """Make whoever holds a job for the data set, or tells that it is valid, wait until this transaction ends."""
    await conn.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '.dataset:' || $1, 0))", str(dataset_id)
    )


async def find_dataset(pool: Connection | Pool, user_id: UUID, dataset_id: UUID) -> Dataset | None:
    """The user's data set, if its validation was heard of."""
    row = await pool.fetchrow(
        """
        SELECT id, name, format, status, training_pairs, tokens, sha256 FROM datasets
        WHERE id = $1 AND user_id = $2
        """,
        dataset_id, user_id,
    )  # fmt: skip
    return Dataset(*row) if row else None


async def find_for_order(conn: Connection, user_id: UUID, dataset_id: UUID) -> tuple[Dataset | None, bool]:
    """The user's data set, if its validation was heard of, and whether its removal is decided."""
    row: Any = await conn.fetchrow(
        """
        SELECT EXISTS (SELECT FROM dataset_removals WHERE dataset_id = $1) AS removed,
            id, name, format, status, training_pairs, tokens, sha256
        FROM (SELECT) AS one LEFT JOIN datasets ON id = $1 AND user_id = $2
        """,
        dataset_id, user_id,
    )  # fmt: skip
    removed, *known = row
    return (Dataset(*known) if row["id"] else None), removed


async def save_dataset(conn: Connection, event: DatasetValidated) -> None:
    """Store what the validation found, over what was known before."""
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
