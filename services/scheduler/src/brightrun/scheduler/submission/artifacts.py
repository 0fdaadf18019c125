"""The artifacts service signs URLs of what runs are given."""

import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from brightrun.contracts.cluster_api import AdapterInput, RunInput
from brightrun.contracts.events import AdapterRef, DatasetRef, JobQueued
from brightrun.contracts.training import JobError
from brightrun.runtime.clients import PeerError, ServiceClient
from brightrun.runtime.errors import NotFound

USED_SHARE_OF_LIFE = 24
"""A URL is handed out during the first 1/24 of its life, an hour of a day: a run may fetch its data late, or again."""

MAX_CACHED = 10_000


class InputGone(Exception):
    """Something that the job needs is deleted; `error` is for its user."""

    def __init__(self, error: JobError) -> None:
        super().__init__(error.code)
        self.error = error


@dataclass(frozen=True, slots=True)
class Inputs:
    """Where a run fetches what it is given."""

    dataset: RunInput
    validation: RunInput | None = None
    adapter: tuple[AdapterInput, ...] = ()


class InputUrls:
    """Signed URLs of data sets and adapters, cached."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client
        self._cache: dict[tuple[UUID, str], tuple[dict[str, Any], float]] = {}

    async def of(self, job: JobQueued) -> Inputs:
        """All that the job's runs are given. Raises `InputGone`, `Unavailable`, or `PeerError` for another reason."""
        return Inputs(
            dataset=await self._dataset(job.user_id, job.dataset, "data set"),
            validation=await self._dataset(job.user_id, job.validation, "validation data set")
            if job.validation
            else None,
            adapter=await self._adapter(job.user_id, job.start) if job.start else (),
        )

    async def _dataset(self, user_id: UUID, dataset: DatasetRef, noun: str) -> RunInput:
        signed = await self._signed(user_id, f"/datasets/{dataset.dataset_id}/url")
        if signed is None:
            raise InputGone(
                JobError(
                    code="dataset_not_found",
                    message=f"The job's {noun} is gone.",
                    advice="Upload the data set again and start a new job.",
                )
            )
        return RunInput(url=signed["url"], sha256=dataset.sha256)

    async def _adapter(self, user_id: UUID, start: AdapterRef) -> tuple[AdapterInput, ...]:
        signed = await self._signed(user_id, f"/models/{start.artifact_id}/adapter")
        urls = signed["download_urls"] if signed else {}
        if not signed or any(file.name not in urls for file in start.files):
            raise InputGone(
                JobError(
                    code="model_not_found",
                    message=f"The model {start.name}, whose adapter the job starts from, is gone.",
                    advice="Start a new job from another model, or without init_from.",
                )
            )
        return tuple(AdapterInput(name=file.name, url=urls[file.name], sha256=file.sha256) for file in start.files)

    async def _signed(self, user_id: UUID, path: str) -> dict[str, Any] | None:
        """None if the artifacts service has no such thing."""
        signed, expires = self._cache.get((user_id, path), ({}, 0.0))
        now = time.monotonic()
        if now >= expires:
            try:
                signed = await self._client.get(path, user_id)
            except PeerError as error:
                if error.status == NotFound.status:
                    return None
                raise
            if len(self._cache) >= MAX_CACHED:
                self._cache.clear()
            self._cache[user_id, path] = signed, now + signed["expires_in"] / USED_SHARE_OF_LIFE
        return signed
