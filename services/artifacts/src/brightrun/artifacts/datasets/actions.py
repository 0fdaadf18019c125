"""Data sets: recorded, validated, deleted."""

from datetime import timedelta
from typing import Literal
from uuid import UUID

from brightrun.artifacts.datasets import queries
from brightrun.artifacts.datasets.models import Dataset, ReadingOptions, Report
from brightrun.artifacts.deletions.queries import cancel_deletion, schedule_deletion
from brightrun.artifacts.keys import DATASETS, dataset_key, dataset_prefix, examples_key
from brightrun.artifacts.source import StoredObject
from brightrun.contracts.errors import DatasetNotInvalid, UploadTooSlow
from brightrun.contracts.events import DatasetValidated
from brightrun.runtime import outbox
from brightrun.runtime.database import Connection
from brightrun.runtime.errors import NotFound
from brightrun.runtime.notify import notify

MAX_WRITE = timedelta(days=1)
"""An object that is not recorded within this time is removed; its writer must have died."""


class ObjectGone(Exception):
    """An announced object was removed because it was not recorded in time."""


async def announce_object(conn: Connection, key: str) -> None:
    """Note that an object of a data set is about to be written, so that it is removed if its writer dies."""
    await schedule_deletion(conn, DATASETS, key, MAX_WRITE)


async def record_dataset(
    conn: Connection, dataset_id: UUID, user_id: UUID, *, name: str, options: ReadingOptions, stored: StoredObject
) -> Dataset:
    """Record a data set whose announced object is complete, and have it validated."""
    if not await cancel_deletion(conn, DATASETS, dataset_key(user_id, dataset_id)):
        raise UploadTooSlow
    dataset = await queries.insert_dataset(conn, dataset_id, user_id, name=name, options=options, stored=stored)
    await notify(conn, "validation")
    return dataset


async def drop_invalid(conn: Connection, user_id: UUID, dataset_id: UUID) -> Dataset:
    """Validate the user's invalid data set once more, without its invalid examples. Raises DatasetNotInvalid."""
    dataset = await queries.drop_invalid(conn, user_id, dataset_id)
    if dataset is None:
        raise DatasetNotInvalid
    await notify(conn, "validation")
    return dataset


async def delete_dataset(conn: Connection, user_id: UUID, dataset_id: UUID) -> None:
    """Forget the user's data set at once; its object goes soon after."""
    if not await queries.delete_dataset(conn, user_id, dataset_id):
        raise NotFound
    await schedule_deletion(conn, DATASETS, dataset_prefix(user_id, dataset_id))


async def finish_validation(
    conn: Connection, validated: Dataset, report: Report, examples: StoredObject | None
) -> Dataset | None:
    """Make the data set ready or invalid and say so; None, and nothing is changed, if the lease was lost.

    `examples`: the announced object of the converted examples.
    """
    status: Literal["ready", "invalid"] = "ready" if report.is_ready(validated.options) else "invalid"
    sha256 = (examples.sha256 if examples else validated.sha256) if status == "ready" else None
    key = examples_key(validated.user_id, validated.id, validated.fence) if examples else None
    dataset = await queries.save_report(
        conn, validated.lease, report, status=status, examples_key=key, training_sha256=sha256
    )
    if dataset is None:
        return None
    if key and not await cancel_deletion(conn, DATASETS, key):
        raise ObjectGone(key)
    await queries.insert_issues(conn, dataset.id, report.issues)
    event = DatasetValidated(
        dataset_id=dataset.id,
        user_id=dataset.user_id,
        name=dataset.name,
        format=dataset.format,
        status=status,
        training_pairs=dataset.training_pairs,
        tokens=dataset.tokens,
        tokens_estimated=True,
        size=dataset.size,
        sha256=dataset.training_sha256 or dataset.sha256,
        error_count=dataset.error_count,
    )
    await outbox.add(conn, event)
    return dataset
