"""A tar of a checkpoint, made while it is sent."""

import os
import tarfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from starlette.concurrency import iterate_in_threadpool

CHUNK_BYTES = 1 << 20
BLOCK = tarfile.BLOCKSIZE


class Tar:
    """Iterates over the archive's chunks. Its files are open from the start, as they may be deleted meanwhile."""

    def __init__(self, checkpoint: Path) -> None:
        paths = sorted(path for path in checkpoint.rglob("*") if path.is_file())
        names = [f"{checkpoint.name}/{path.relative_to(checkpoint)}" for path in paths]
        self._parts = [(_header(path, name), path.open("rb")) for path, name in zip(paths, names, strict=True)]
        self.size = 2 * BLOCK + sum(
            len(header) + _padded(os.fstat(file.fileno()).st_size) for header, file in self._parts
        )

    def __iter__(self) -> Iterator[bytes]:
        for header, file in self._parts:
            yield header
            sent = 0
            while chunk := file.read(CHUNK_BYTES):
                sent += len(chunk)
                yield chunk
            yield bytes(_padded(sent) - sent)
        yield bytes(2 * BLOCK)

    def close(self) -> None:
        for _, file in self._parts:
            file.close()

    async def stream(self) -> AsyncIterator[bytes]:
        """Send its chunks from a thread, then close it."""
        try:
            async for chunk in iterate_in_threadpool(iter(self)):
                yield chunk
        finally:
            self.close()


def _header(path: Path, name: str) -> bytes:
    member = tarfile.TarInfo(name)
    status = path.stat()
    member.size, member.mtime = status.st_size, int(status.st_mtime)
    return member.tobuf()


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
