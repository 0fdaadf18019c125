"""SQL on data sets and their issues."""
# ruff: noqa: S608 - only constants of this file are put into statements

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from brightrun.artifacts import leases
from brightrun.artifacts.datasets.models import Dataset, Issue, ReadingOptions, Report
from brightrun.artifacts.leases import Lease
from brightrun.artifacts.source import StoredObject
from brightrun.runtime.database import Connection, Pool

COLUMNS = """id, user_id, name, format, requested_format, columns, status, size, sha256, training_pairs, tokens,
             duplicates, error_count, errors_by_code, warnings_by_code, validated_bytes, examples_key, training_sha256,
             drop_invalid, statistics, created_at, validated_at, fence"""


async def insert_dataset(
    conn: Connection, dataset_id: UUID, user_id: UUID, *, name: str, options: ReadingOptions, stored: StoredObject
) -> Dataset:
    """Record a data set whose object is complete."""
    row = await conn.fetchrow(
        f"""INSERT INTO datasets (id, user_id, name, format, requested_format, columns, size, sha256)
            VALUES ($1, $2, $3, coalesce($4, 'openai_chat'), $4, $5, $6, $7) RETURNING {COLUMNS}""",
        dataset_id, user_id, name, options.format, options.columns, stored.size, stored.sha256,
    )  # fmt: skip
    assert row is not None  # noqa: S101 - RETURNING gives a row
    return Dataset(**row)


async def find_dataset(pool: Pool, user_id: UUID, dataset_id: UUID) -> Dataset | None:
    """The user's data set; None if there is none or it is another's."""
    row = await pool.fetchrow(f"SELECT {COLUMNS} FROM datasets WHERE id = $1 AND user_id = $2", dataset_id, user_id)
    return Dataset(**row) if row else None


async def list_datasets(pool: Pool, user_id: UUID, offset: int, limit: int) -> Sequence[Dataset]:
    """The user's data sets, newest first."""
    rows = await pool.fetch(
        f"SELECT {COLUMNS} FROM datasets WHERE user_id = $1 ORDER BY created_at DESC, id OFFSET $2 LIMIT $3",
        user_id, offset, limit,
    )  # fmt: skip
    return [Dataset(**row) for row in rows]


async def slice_datasets(
    pool: Pool, user_id: UUID, after: tuple[datetime, UUID] | None, limit: int, *, newest_first: bool
) -> Sequence[Dataset]:
    """The user's data sets in the order of their age, from the one after `(created_at, id)` on."""
    beyond, order = ("<", "DESC") if newest_first else (">", "ASC")
    rows = await pool.fetch(
        f"""SELECT {COLUMNS} FROM datasets
            WHERE user_id = $1 AND ($2::timestamptz IS NULL OR (created_at, id) {beyond} ($2, $3::uuid))
            ORDER BY created_at {order}, id {order} LIMIT $4""",
        user_id, *(after or (None, None)), limit,
    )  # fmt: skip
    return [Dataset(**row) for row in rows]


async def rename_dataset(conn: Connection, user_id: UUID, dataset_id: UUID, name: str) -> Dataset | None:
    """Call the user's data set something else; None if there is none."""
    row = await conn.fetchrow(
        f"UPDATE datasets SET name = $3 WHERE id = $1 AND user_id = $2 RETURNING {COLUMNS}", dataset_id, user_id, name
    )
    return Dataset(**row) if row else None


async def delete_dataset(conn: Connection, user_id: UUID, dataset_id: UUID) -> bool:
    """Forget the user's data set; False if there is none."""
    status = await conn.execute("DELETE FROM datasets WHERE id = $1 AND user_id = $2", dataset_id, user_id)
    return status == "DELETE 1"


async def count_datasets(pool: Pool, user_id: UUID) -> int:
    """How many data sets the user has."""
    return int(await pool.fetchval("SELECT count(*) FROM datasets WHERE user_id = $1", user_id))


async def drop_invalid(conn: Connection, user_id: UUID, dataset_id: UUID) -> Dataset | None:
    """Have the user's invalid data set validated once more, without its invalid examples; None if there is none."""
    row = await conn.fetchrow(
        f"""UPDATE datasets SET drop_invalid = true, status = 'uploaded', leased_until = now(), validated_at = NULL,
                                validated_bytes = 0
            WHERE id = $1 AND user_id = $2 AND status = 'invalid' RETURNING {COLUMNS}""",
        dataset_id, user_id,
    )  # fmt: skip
    return Dataset(**row) if row else None


async def list_issues(
    pool: Pool, dataset_id: UUID, severity: str, code: str | None, *, offset: int, limit: int
) -> Sequence[Issue]:
    """Stored errors or warnings of a data set, in the order of its lines; those of one code if it is given."""
    rows = await pool.fetch(
        """SELECT line, path, code, message, severity FROM dataset_issues
           WHERE dataset_id = $1 AND severity = $2 AND ($3::text IS NULL OR code = $3)
           ORDER BY line, position OFFSET $4 LIMIT $5""",
        dataset_id, severity, code, offset, limit,
    )  # fmt: skip
    return [Issue(**row) for row in rows]


async def count_issues(pool: Pool, dataset_id: UUID, severity: str, code: str | None) -> int:
    """How many of them are stored with their place."""
    count = await pool.fetchval(
        """SELECT count(*) FROM dataset_issues
           WHERE dataset_id = $1 AND severity = $2 AND ($3::text IS NULL OR code = $3)""",
        dataset_id, severity, code,
    )  # fmt: skip
    return int(count)


async def list_all_issues(pool: Pool, dataset_id: UUID) -> Sequence[Issue]:
    """All stored errors and warnings of a data set, in the order of its lines."""
    rows = await pool.fetch(
        """SELECT line, path, code, message, severity FROM dataset_issues
           WHERE dataset_id = $1 ORDER BY line, position""",
        dataset_id,
    )
    return [Issue(**row) for row in rows]


async def lease_dataset(conn: Connection, duration: timedelta) -> Dataset | None:
    """Lease the data set that waited longest for validation, or whose validator is silent past its lease.

    One of a user at a time, so that many or large uploads of one user do not keep others waiting.
    """
    row = await conn.fetchrow(
        f"""UPDATE datasets SET status = 'validating', fence = fence + 1, leased_until = now() + $1, validated_bytes = 0
            WHERE id = (
                SELECT id FROM datasets AS waiting WHERE status IN ('uploaded', 'validating') AND leased_until <= now()
                    AND NOT EXISTS (
                        SELECT FROM datasets WHERE user_id = waiting.user_id AND status = 'validating'
                            AND leased_until > now()
                    )
                ORDER BY leased_until FOR UPDATE SKIP LOCKED LIMIT 1
            )
            RETURNING {COLUMNS}""",
        duration,
    )
    return Dataset(**row) if row else None


renew_validation = partial(leases.renew, "datasets", "validating")


async def save_progress(pool: Pool, lease: Lease, duration: timedelta, validated_bytes: int) -> bool:
    """Extend the lease of a validation that has read so many bytes; False if it is lost."""
    tag = await pool.execute(
        """UPDATE datasets SET leased_until = now() + $3, validated_bytes = $4
           WHERE id = $1 AND fence = $2 AND status = 'validating'""",
        lease.id, lease.fence, duration, validated_bytes,
    )  # fmt: skip
    return tag == "UPDATE 1"


async def save_report(
    conn: Connection,
    lease: Lease,
    report: Report,
    *,
    status: str,
    examples_key: str | None,
    training_sha256: str | None,
) -> Dataset | None:
    """End a validation with its report; None if the lease is lost, and nothing is changed then."""
    row = await conn.fetchrow(
        f"""UPDATE datasets SET status = $3, format = $4, training_pairs = $5, tokens = $6, duplicates = $7,
                                error_count = $8, errors_by_code = $9, warnings_by_code = $10, examples_key = $11,
                                training_sha256 = $12, statistics = $13, validated_bytes = size, validated_at = now()
            WHERE id = $1 AND fence = $2 AND status = 'validating' RETURNING {COLUMNS}""",
        lease.id, lease.fence, status, report.format, report.training_pairs, report.tokens, report.duplicates,
        report.error_count, report.errors_by_code, report.warnings_by_code, examples_key, training_sha256,
        report.statistics,
    )  # fmt: skip
    return Dataset(**row) if row else None


async def insert_issues(conn: Connection, dataset_id: UUID, issues: Sequence[Issue]) -> None:
    """Store the errors and warnings of a data set in their order, instead of those of an earlier validation."""
    await conn.execute("DELETE FROM dataset_issues WHERE dataset_id = $1", dataset_id)
    await conn.copy_records_to_table(
        "dataset_issues",
        records=(
            (dataset_id, position, issue.line, issue.path, issue.code, issue.message, issue.severity)
            for position, issue in enumerate(issues)
        ),
    )
