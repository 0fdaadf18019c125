"""Uploaded data sets are validated one after the other, by any number of processes."""

import asyncio
from datetime import timedelta
from functools import partial

import structlog

from brightrun.artifacts.datasets import actions, queries
from brightrun.artifacts.datasets.models import Dataset, Report
from brightrun.artifacts.datasets.rules.validation import Validation, report_missing
from brightrun.artifacts.keys import DATASETS, dataset_key
from brightrun.artifacts.leases import LEASE, LeaseLost, while_leased
from brightrun.artifacts.storage import ObjectMissing, ObjectStore
from brightrun.runtime.database import Pool, transaction
from brightrun.runtime.failpoints import failpoint

log = structlog.get_logger()

RETRY = timedelta(seconds=5)


async def validate_next(pool: Pool, store: ObjectStore) -> bool:
    """Validate one data set; False if none waits. A failed validation is retried after `RETRY`."""
    async with transaction(pool) as conn:
        dataset = await queries.lease_dataset(conn, LEASE)
    if dataset is None:
        return False
    try:
        renew = partial(queries.renew_validation, pool, dataset.lease, LEASE)
        report = await while_leased(_check(store, dataset), renew)
        failpoint("validation.checked")
        async with transaction(pool) as conn:
            validated = await actions.finish_validation(conn, dataset.lease, report)
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


async def _check(store: ObjectStore, dataset: Dataset) -> Report:
    validation = Validation()
    try:
        async with store.open(DATASETS, dataset_key(dataset.user_id, dataset.id)) as pieces:
            async for piece in pieces:
                await asyncio.to_thread(validation.feed, piece)
                if validation.unsupported:
                    break
    except ObjectMissing:
        return report_missing(dataset.format)
    return await asyncio.to_thread(validation.report)
