"""An async byte stream as the blocking file that the S3 client reads, checked on the way."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from concurrent.futures import Future
from dataclasses import dataclass

from brightrun.contracts.errors import ServiceError, UploadStalled


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What the store was given: size in bytes and digest."""

    size: int
    sha256: str


class TooLarge(ServiceError, status=413, code="too_large"):
    """There are more bytes than one object may have here."""


class Mismatch(Exception):
    """The bytes are not those that were announced."""


class Stopped(Exception):
    """The upload was given up on this side."""


class Source:
    """An async byte stream as the blocking file that the S3 client reads from its thread.

    The client pulls: nothing is read ahead. Size and digest are taken on the way; too much, or at the end not what was
    `expected`, raises, upon which the client aborts its multipart upload.
    """

    def __init__(
        self, stream: AsyncIterator[bytes], limit: int, expected: StoredObject | None, stall_seconds: float
    ) -> None:
        self._stream = stream
        self._limit = limit
        self._expected = expected
        self._stall_seconds = stall_seconds
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._digest = hashlib.sha256()
        self._size = 0
        self._pull: Future[bytes] | None = None
        self._stopped = False

    @property
    def received(self) -> StoredObject:
        """What went through so far."""
        return StoredObject(self._size, self._digest.hexdigest())

    def read(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end; called from a thread."""
        if self._stopped:
            raise Stopped
        self._pull = asyncio.run_coroutine_threadsafe(self._take(size), self._loop)
        data = self._pull.result()
        self._digest.update(data)
        if len(data) < size and self._expected and self.received != self._expected:
            raise Mismatch(f"{_describe(self._expected)} were announced, {_describe(self.received)} came")
        return data

    def stop(self) -> None:
        """Make the reading thread fail soon; called from the event loop."""
        self._stopped = True
        if self._pull:
            self._pull.cancel()

    async def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            try:
                async with asyncio.timeout(self._stall_seconds):
                    piece = await anext(self._stream, None)
            except TimeoutError:
                raise UploadStalled from None
            if piece is None:
                break
            self._size += len(piece)
            if self._size > self._limit:
                raise TooLarge({"limit_bytes": self._limit})
            self._buffer += piece
        with memoryview(self._buffer) as view:
            data = bytes(view[:size])
        del self._buffer[:size]
        return data


def _describe(content: StoredObject) -> str:
    return f"{content.size} bytes with SHA-256 {content.sha256}"
