"""The artifacts service, asked for data sets' signed URLs."""

import time
from uuid import UUID

from brightrun.contracts.events import JobQueued
from brightrun.runtime.tokens import Neighbour

SHARE_OF_LIFE = 24
"""A URL is handed out during the first 1/24 of its life, an hour of a day: a run may fetch its data late, or again."""

MOST_KEPT = 10_000


class DatasetUrls:
    """Where clusters fetch data sets from, kept while they are good for long."""

    def __init__(self, neighbour: Neighbour) -> None:
        self._neighbour = neighbour
        self._known: dict[tuple[UUID, UUID], tuple[str, float]] = {}

    async def of(self, job: JobQueued) -> str:
        """A URL of the job's data set. Raises `Unavailable`, or `Refused` when there is no such data set."""
        key = job.user_id, job.dataset.dataset_id
        url, good_until = self._known.get(key, ("", 0.0))
        now = time.monotonic()
        if now >= good_until:
            signed = await self._neighbour.get(f"/datasets/{job.dataset.dataset_id}/url", job.user_id)
            url, good_until = signed["url"], now + signed["expires_in"] / SHARE_OF_LIFE
            if len(self._known) >= MOST_KEPT:
                self._known.clear()
            self._known[key] = url, good_until
        return url
