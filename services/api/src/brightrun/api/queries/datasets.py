"""The projection of data sets."""

from uuid import UUID

from brightrun.api.models import Dataset
from brightrun.contracts.events import DatasetValidated
from brightrun.runtime.database import Connection, Pool


async def find_dataset(pool: Pool, user_id: UUID, dataset_id: UUID) -> Dataset | None:
    """The user's data set, if its validation was heard of."""
    row = await pool.fetchrow(
        """
        SELECT id, name, format, status, training_pairs, tokens, sha256 FROM datasets
        WHERE id = $1 AND user_id = $2
        """,
        dataset_id, user_id,
    )  # fmt: skip
    return Dataset(*row) if row else None


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
