"""Uploaded data sets are validated one after the other, by any number of processes."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta

import structlog

from brightrun.artifacts.datasets import actions, queries
from brightrun.artifacts.datasets.models import Dataset, Report
from brightrun.artifacts.datasets.rules.validation import Validation, convert, report_missing
from brightrun.artifacts.keys import DATASETS, MAX_FILE_BYTES, dataset_key, examples_key
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
        pieces = _Pieces()
        work = _validate(pool, store, dataset, pieces)
        report, examples = await while_leased(
            work, lambda: queries.save_progress(pool, dataset.lease, LEASE, pieces.read_bytes), PROGRESS_SECONDS
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


class _Pieces:
    """The content of a file for a thread, which blocks until a piece is there."""

    def __init__(self) -> None:
        self.read_bytes = 0

    @asynccontextmanager
    async def open(self, store: ObjectStore, dataset: Dataset) -> AsyncIterator[Iterator[bytes]]:
        """Read the file from its start. Raises ObjectMissing."""
        async with store.open(DATASETS, dataset_key(dataset.user_id, dataset.id)) as pieces:
            yield self._pull(pieces, asyncio.get_running_loop())

    def _pull(self, pieces: AsyncIterator[bytes], loop: asyncio.AbstractEventLoop) -> Iterator[bytes]:
        while piece := asyncio.run_coroutine_threadsafe(_next(pieces), loop).result():
            yield piece
            self.read_bytes += len(piece)


async def _next(pieces: AsyncIterator[bytes]) -> bytes:
    return await anext(pieces, b"")


async def _validate(
    pool: Pool, store: ObjectStore, dataset: Dataset, content: _Pieces
) -> tuple[Report, StoredObject | None]:
    try:
        async with content.open(store, dataset) as pieces:
            report = await asyncio.to_thread(Validation(dataset.options).run, pieces)
    except ObjectMissing:
        return report_missing(dataset.format), None
    if report.error_count or not report.needs_conversion:
        return report, None
    key = examples_key(dataset.user_id, dataset.id, dataset.fence)
    async with transaction(pool) as conn:
        await actions.announce_object(conn, key)
    async with _Pieces().open(store, dataset) as pieces:
        blocks = convert(pieces, report.format, dataset.columns)
        return report, await store.put(DATASETS, key, _in_threads(blocks), MAX_FILE_BYTES)


async def _in_threads(blocks: Iterator[bytes]) -> AsyncIterator[bytes]:
    while (block := await asyncio.to_thread(next, blocks, None)) is not None:
        yield block
