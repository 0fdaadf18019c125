"""A cluster's stream is read, by one scheduler at a time."""

import time
from uuid import UUID

from brightrun.cluster_client.client import ClusterClient
from brightrun.runtime.database import Pool, transaction
from brightrun.runtime.failpoints import failpoint
from brightrun.runtime.kafka import KafkaClient
from brightrun.scheduler.coordination import lead
from brightrun.scheduler.observation import actions, queries
from brightrun.scheduler.observation.rules import stream

EVENTS_PER_PAGE = 2000

LONG_POLL_SECONDS = 1.0
"""A cluster that took so long to respond without events has waited for some, and is asked again at once."""


class Watcher:
    """One scheduler's reader of one cluster.

    A page that another scheduler has applied meanwhile changes nothing: the cursor has moved.
    """

    def __init__(
        self, pool: Pool, kafka: KafkaClient, cluster: ClusterClient, scheduler: UUID, max_attempts: int
    ) -> None:
        self._pool = pool
        self._kafka = kafka
        self._cluster = cluster
        self._scheduler = scheduler
        self._max_attempts = max_attempts

    async def work(self) -> bool:
        """Read the next events, publish progress, and move the cursor once Kafka has it; True to go on at once.

        The cursor also follows a cluster that has lost its history and counts from the beginning again.
        """
        name = self._cluster.name
        position = await queries.read_position(self._pool, name)
        if not position.streams or not await lead(self._pool, name, self._scheduler):
            return False
        began = time.monotonic()
        page = await self._cluster.events(position.cursor, EVENTS_PER_PAGE)
        if page.cursor == position.cursor:
            return time.monotonic() - began > LONG_POLL_SECONDS
        runs = await queries.find_runs(self._pool, name, stream.keys_of(page.events))
        await self._kafka.publish(stream.progress_of(page.events, {run.attempt.key: run.attempt for run in runs}))
        failpoint("watch.published")
        async with transaction(self._pool) as conn:
            if not await queries.move_cursor(conn, name, position.cursor, page.cursor):
                return False
            await actions.apply_events(conn, name, page.events, self._max_attempts)
            failpoint("watch.applied")
        return True
