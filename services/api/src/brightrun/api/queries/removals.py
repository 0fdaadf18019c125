"""What is being deleted, and who still needs it."""

from uuid import UUID

from brightrun.runtime.database import Connection, Pool


async def use_dataset(conn: Connection, dataset_id: UUID) -> None:
    """Keep the data set from being removed until this transaction ends; others may use it meanwhile."""
    await conn.execute(
        "SELECT pg_advisory_xact_lock_shared(hashtextextended(current_schema() || '.dataset:' || $1, 0))",
        str(dataset_id),
    )


async def list_live_jobs(conn: Connection, user_id: UUID, dataset_id: UUID, limit: int) -> list[UUID]:
    """Jobs that train or evaluate on the data set and are not over."""
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


async def list_jobs_from(pool: Pool, user_id: UUID, model_id: UUID, limit: int) -> list[UUID]:
    """Jobs that start from the model and are not over."""
    rows = await pool.fetch(
        """
        SELECT id FROM jobs
        WHERE user_id = $1 AND start_id = $2 AND status NOT IN ('completed', 'failed', 'cancelled')
        ORDER BY id DESC LIMIT $3
        """,
        user_id, model_id, limit,
    )  # fmt: skip
    return [row["id"] for row in rows]


async def insert_removal(conn: Connection, user_id: UUID, dataset_id: UUID) -> None:
    """Decide the data set's removal, and forget what was known of it."""
    await conn.execute(
        "INSERT INTO dataset_removals (dataset_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        dataset_id, user_id,
    )  # fmt: skip
    await conn.execute("DELETE FROM datasets WHERE id = $1 AND user_id = $2", dataset_id, user_id)


async def list_open_removals(pool: Pool, limit: int) -> list[tuple[UUID, UUID]]:
    """`(user_id, dataset_id)` of removals that were decided a while ago and are not known to be done."""
    rows = await pool.fetch(
        """
        SELECT user_id, dataset_id FROM dataset_removals
        WHERE NOT done AND decided_at < now() - interval '30 seconds' ORDER BY decided_at LIMIT $1
        """,
        limit,
    )
    return [(row["user_id"], row["dataset_id"]) for row in rows]


async def mark_removed(conn: Connection, dataset_id: UUID) -> None:
    """Note that the data set is deleted."""
    await conn.execute("UPDATE dataset_removals SET done = true WHERE dataset_id = $1", dataset_id)


async def rename_dataset(conn: Connection, user_id: UUID, dataset_id: UUID, name: str) -> None:
    """Call the data set what its owner calls it now, where it is known."""
    await conn.execute("UPDATE datasets SET name = $3 WHERE id = $1 AND user_id = $2", dataset_id, user_id, name)
