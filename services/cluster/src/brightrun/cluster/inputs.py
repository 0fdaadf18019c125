"""Fetches what a run is given from the URLs that the submission named: data sets, and an adapter to start from."""

import asyncio
import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import structlog

from brightrun.cluster.run_folder import RunFolder
from brightrun.contracts.cluster_api import SubmitRun
from brightrun.contracts.training import JobError

log = structlog.get_logger()

TRIES = 3
TIMEOUT_SECONDS = 20.0
CHUNK_BYTES = 1 << 20


class Unfetched(Exception):
    """A file could not be fetched; the message says why and does not hold the URL, which is signed."""


@dataclass(frozen=True, slots=True)
class Input:
    """A file to be fetched into a run's folder, whole; `what` tells users of it, `code` is of the error without it."""

    url: str
    sha256: str | None
    target: Path
    what: str = "data set"
    code: str = "dataset_unreachable"

    def missing(self, why: Unfetched) -> JobError:
        """Why the run cannot begin."""
        message = f"The {self.what} could not be downloaded ({why})."
        return JobError(code=self.code, message=message, advice="Try the job again.", retryable=True)


def wanted(request: SubmitRun, folder: RunFolder) -> Iterator[Input]:
    """All that the run is given, and where the trainer looks for it."""
    yield Input(request.dataset_url, request.dataset_sha256, folder.data)
    if request.validation:
        told = request.validation
        yield Input(told.url, told.sha256, folder.validation, what="validation data set")
    for file in request.adapter:
        target = folder.init_adapter / file.name
        yield Input(file.url, file.sha256, target, what="adapter to start from", code="adapter_unreachable")


async def fetch(http: httpx.AsyncClient, given: Input, free_bytes: int) -> None:
    """Write the file to its target, which exists only once it is complete and has the digest that was told.

    Raises Unfetched, also when it would leave less than `free_bytes` of the disk.
    """
    reason = ""
    for tried in range(TRIES):
        await asyncio.sleep(tried)
        try:
            await _stream(http, given, free_bytes)
            return
        except httpx.HTTPStatusError as error:
            reason = f"HTTP {error.response.status_code}"
        except _OtherBytes:
            reason = "what came has another digest than what was announced"
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            reason = f"{type(error).__name__}: {error}"
        log.warning("input.unreachable", input=given.target.name, tried=tried + 1, reason=reason)
    raise Unfetched(reason)


class _OtherBytes(Exception):
    """The bytes are not those that were announced."""


async def _stream(http: httpx.AsyncClient, given: Input, free_bytes: int) -> None:
    folder = given.target.parent
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    unfinished = given.target.with_name(f"{given.target.name}.part")
    digest = hashlib.sha256()
    async with http.stream("GET", given.url, timeout=TIMEOUT_SECONDS) as answer:
        answer.raise_for_status()
        if shutil.disk_usage(folder).free - int(answer.headers.get("content-length", 0)) < free_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        file = await asyncio.to_thread(unfinished.open, "wb")
        try:
            async for chunk in answer.aiter_bytes(CHUNK_BYTES):
                digest.update(chunk)
                await asyncio.to_thread(file.write, chunk)
        finally:
            file.close()
    if given.sha256 not in (None, digest.hexdigest()):
        raise _OtherBytes
    unfinished.replace(given.target)
