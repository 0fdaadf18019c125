"""Uploaded data sets are checked one after the other; several processes may do so side by side."""

import asyncio
from datetime import timedelta
from functools import partial

import structlog

from brightrun.artifacts.actions import datasets as actions
from brightrun.artifacts.leases import LEASE, LeaseLost, while_leased
from brightrun.artifacts.models import Dataset, Report
from brightrun.artifacts.queries import datasets
from brightrun.artifacts.rules.files import DATASETS, dataset_key
from brightrun.artifacts.rules.validation import Validation, report_missing
from brightrun.artifacts.storage import ObjectMissing, ObjectStore
from brightrun.runtime.database import Pool, transaction
from brightrun.runtime.failpoints import failpoint

log = structlog.get_logger()

RETRY = timedelta(seconds=5)


async def validate_next(pool: Pool, store: ObjectStore) -> bool:
    """Check one data set from first line to last; False if none waits. What fails is tried again after `RETRY`."""
    async with transaction(pool) as conn:
        dataset = await datasets.lease_dataset(conn, LEASE)
    if dataset is None:
        return False
    try:
        renew = partial(datasets.renew_validation, pool, dataset.lease, LEASE)
        report = await while_leased(_check(store, dataset), renew)
        failpoint("validation.checked")
        async with transaction(pool) as conn:
            done = await actions.finish_validation(conn, dataset.lease, report)
    except LeaseLost:
        done = None
    except Exception:
        await datasets.renew_validation(pool, dataset.lease, RETRY)
        raise
    if done is None:
        log.warning("validation.lease_lost", dataset_id=str(dataset.id))
    else:
        log.info("dataset.validated", dataset_id=str(done.id), status=done.status, errors=done.error_count)
    return True


async def _check(store: ObjectStore, dataset: Dataset) -> Report:
    validation = Validation()
    try:
        async with store.open(DATASETS, dataset_key(dataset.user_id, dataset.id)) as pieces:
            async for piece in pieces:
                await asyncio.to_thread(validation.feed, piece)
                if validation.hopeless:
                    break
    except ObjectMissing:
        return report_missing(dataset.format)
    return await asyncio.to_thread(validation.report)
