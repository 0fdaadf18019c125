"""A data set's file for threads, and what threads make of it for the event loop."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from brightrun.artifacts.datasets.models import Dataset
from brightrun.artifacts.keys import DATASETS, dataset_key
from brightrun.artifacts.storage import ObjectStore


class Content:
    """The pieces of the uploaded file, for a thread that blocks until one is there; counts their bytes."""

    def __init__(self, store: ObjectStore, dataset: Dataset) -> None:
        self.read_bytes = 0
        self._store = store
        self._key = dataset_key(dataset.user_id, dataset.id)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Iterator[bytes]]:
        """Read the file from its start. Raises ObjectMissing."""
        async with self._store.open(DATASETS, self._key) as pieces:
            yield self._pull(pieces, asyncio.get_running_loop())

    def _pull(self, pieces: AsyncIterator[bytes], loop: asyncio.AbstractEventLoop) -> Iterator[bytes]:
        while piece := asyncio.run_coroutine_threadsafe(_next(pieces), loop).result():
            yield piece
            self.read_bytes += len(piece)


async def in_threads(blocks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The blocks, each made in a thread."""
    while (block := await asyncio.to_thread(next, blocks, None)) is not None:
        yield block


async def _next(pieces: AsyncIterator[bytes]) -> bytes:
    return await anext(pieces, b"")
