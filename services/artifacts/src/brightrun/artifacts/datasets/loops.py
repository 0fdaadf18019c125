"""Uploaded data sets are validated, one of a user at a time, by any number of processes."""

import asyncio
from datetime import timedelta

import structlog

from brightrun.artifacts.datasets import actions, queries
from brightrun.artifacts.datasets.content import Content, in_threads
from brightrun.artifacts.datasets.models import Dataset, Report
from brightrun.artifacts.datasets.rules.validation import Validation, convert, report_missing
from brightrun.artifacts.keys import DATASETS, MAX_FILE_BYTES, examples_key
from brightrun.artifacts.leases import LEASE, LeaseLost, while_leased
from brightrun.artifacts.source import StoredObject
from brightrun.artifacts.storage import ObjectMissing, ObjectStore
from brightrun.runtime.database import Pool, transaction
from brightrun.runtime.failpoints import failpoint

log = structlog.get_logger()

RETRY = timedelta(seconds=5)
PROGRESS_SECONDS = 2.0


async def validate_next(pool: Pool, store: ObjectStore) -> bool:
    """Validate one data set; False if none waits. A failed validation is retried after `RETRY`."""
    async with transaction(pool) as conn:
        dataset = await queries.lease_dataset(conn, LEASE)
    if dataset is None:
        return False
    try:
        content = Content(store, dataset)
        work = _validate(pool, store, dataset, content)
        report, examples = await while_leased(
            work, lambda: queries.save_progress(pool, dataset.lease, LEASE, content.read_bytes), PROGRESS_SECONDS
        )
        failpoint("validation.checked")
        async with transaction(pool) as conn:
            validated = await actions.finish_validation(conn, dataset, report, examples)
    except LeaseLost:
        validated = None
    except Exception:
        await queries.renew_validation(pool, dataset.lease, RETRY)
        raise
    if validated is None:
        log.warning("validation.lease_lost", dataset_id=str(dataset.id))
    else:
        log.info(
            "dataset.validated", dataset_id=str(validated.id), status=validated.status, errors=validated.error_count
        )
    return True


async def _validate(
    pool: Pool, store: ObjectStore, dataset: Dataset, content: Content
) -> tuple[Report, StoredObject | None]:
    try:
        async with content.open() as pieces:
            report = await asyncio.to_thread(Validation(dataset.options).run, pieces)
    except ObjectMissing:
        return report_missing(dataset.format), None
    if not (report.needs_conversion and report.is_ready(dataset.options)):
        return report, None
    key = examples_key(dataset.user_id, dataset.id, dataset.fence)
    async with transaction(pool) as conn:
        await actions.announce_object(conn, key)
    async with Content(store, dataset).open() as pieces:
        blocks = convert(pieces, report.format, dataset.options)
        return report, await store.put(DATASETS, key, in_threads(blocks), MAX_FILE_BYTES)
