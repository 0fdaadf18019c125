"""Downloads a run's inputs from the URLs in its submission: data sets, and an adapter to start from."""

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

from brightrun.cluster.errors import retryable
from brightrun.cluster.files.run_folder import RunFolder
from brightrun.contracts.cluster_api import SubmitRun
from brightrun.contracts.training import JobError

log = structlog.get_logger()

MAX_TRIES = 3
TIMEOUT_SECONDS = 20.0
CHUNK_BYTES = 1 << 20


class DownloadFailed(Exception):
    """An input could not be downloaded; the message says why and does not hold the URL, which is signed."""


@dataclass(frozen=True, slots=True)
class Input:
    """A file to be downloaded into a run's folder; `label` names it to users, `code` is that of its error."""

    url: str
    sha256: str | None
    target: Path
    label: str = "data set"
    code: str = "dataset_unreachable"

    def error(self, failure: DownloadFailed) -> JobError:
        return retryable(self.code, f"The {self.label} could not be downloaded ({failure}).")


def inputs_of(request: SubmitRun, folder: RunFolder) -> Iterator[Input]:
    """All inputs of the run, each with the path where the trainer reads it."""
    yield Input(request.dataset_url, request.dataset_sha256, folder.dataset)
    if validation := request.validation:
        yield Input(validation.url, validation.sha256, folder.validation, label="validation data set")
    for file in request.adapter:
        target = folder.init_adapter / file.name
        yield Input(file.url, file.sha256, target, label="adapter to start from", code="adapter_unreachable")


async def download(http: httpx.AsyncClient, source: Input, min_free_bytes: int) -> None:
    """Write the file to its target, which exists only once it is complete and has the announced digest.

    Raises DownloadFailed, also when it would leave less than `min_free_bytes` of the disk.
    """
    reason = ""
    for tried in range(MAX_TRIES):
        await asyncio.sleep(tried)
        try:
            await _stream(http, source, min_free_bytes)
            return
        except httpx.HTTPStatusError as error:
            reason = f"HTTP {error.response.status_code}"
        except DownloadFailed as failure:
            reason = str(failure)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            reason = f"{type(error).__name__}: {error}"
        log.warning("input.unreachable", input=source.target.name, tried=tried + 1, reason=reason)
    raise DownloadFailed(reason)


async def _stream(http: httpx.AsyncClient, source: Input, min_free_bytes: int) -> None:
    folder = source.target.parent
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    unfinished = source.target.with_name(f"{source.target.name}.part")
    digest = hashlib.sha256()
    async with http.stream("GET", source.url, timeout=TIMEOUT_SECONDS) as response:
        response.raise_for_status()
        if shutil.disk_usage(folder).free - int(response.headers.get("content-length", 0)) < min_free_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with await asyncio.to_thread(unfinished.open, "wb") as file:
            async for chunk in response.aiter_bytes(CHUNK_BYTES):
                digest.update(chunk)
                await asyncio.to_thread(file.write, chunk)
    if source.sha256 not in (None, digest.hexdigest()):
        raise DownloadFailed("what came has another digest than what was announced")
    unfinished.replace(source.target)
