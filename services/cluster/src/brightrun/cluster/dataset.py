"""Fetches a run's data set from the URL that the submission named."""

import asyncio
import errno
import os
import shutil
from pathlib import Path

import httpx
import structlog

log = structlog.get_logger()

TRIES = 3
TIMEOUT_SECONDS = 20.0
CHUNK_BYTES = 1 << 20


class DatasetUnreachable(Exception):
    """The data set could not be downloaded; the message says why and does not hold the URL, which is signed."""


async def download(http: httpx.AsyncClient, url: str, target: Path, free_bytes: int) -> None:
    """Write the data set to `target`, which exists only once it is complete.

    Raises DatasetUnreachable, also when it would leave less than `free_bytes` of the disk.
    """
    reason = ""
    for tried in range(TRIES):
        await asyncio.sleep(tried)
        try:
            await _stream(http, url, target, free_bytes)
            return
        except httpx.HTTPStatusError as error:
            reason = f"HTTP {error.response.status_code}"
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            reason = f"{type(error).__name__}: {error}"
        log.warning("dataset.unreachable", tried=tried + 1, reason=reason)
    raise DatasetUnreachable(reason)


async def _stream(http: httpx.AsyncClient, url: str, target: Path, free_bytes: int) -> None:
    unfinished = target.with_suffix(".part")
    async with http.stream("GET", url, timeout=TIMEOUT_SECONDS) as answer:
        answer.raise_for_status()
        if shutil.disk_usage(target.parent).free - int(answer.headers.get("content-length", 0)) < free_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        file = await asyncio.to_thread(unfinished.open, "wb")
        try:
            async for chunk in answer.aiter_bytes(CHUNK_BYTES):
                await asyncio.to_thread(file.write, chunk)
        finally:
            file.close()
    unfinished.replace(target)
