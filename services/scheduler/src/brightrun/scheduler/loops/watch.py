"""A cluster's stream is listened to, by one scheduler at a time."""

import time
from datetime import timedelta
from uuid import UUID

from brightrun.cluster_client.client import ClusterClient
from brightrun.runtime.database import Pool, transaction
from brightrun.runtime.failpoints import failpoint
from brightrun.runtime.kafka import KafkaClient
from brightrun.scheduler.actions import runs as actions
from brightrun.scheduler.queries import duties, watch
from brightrun.scheduler.rules import runs

LEASE = timedelta(seconds=12)
"""Longer than a cluster may take to answer, so that another listens only when the holder is gone."""

EVENTS_A_PAGE = 2000

AT_ONCE_SECONDS = 1.0
"""A cluster that has no news by then has waited for some, and is asked again without a pause."""


class Watcher:
    """One scheduler's ear for one cluster.

    Whoever comes late with a page that another has written down changes nothing: the cursor has moved.
    """

    def __init__(self, pool: Pool, bus: KafkaClient, cluster: ClusterClient, me: UUID, most_attempts: int) -> None:
        self._pool = pool
        self._bus = bus
        self._cluster = cluster
        self._me = me
        self._most_attempts = most_attempts

    async def work(self) -> bool:
        """Hear the next events, publish progress, and move the cursor once Kafka has it; True to go on at once.

        The cursor also follows a cluster that has lost its history and counts from the beginning again.
        """
        name = self._cluster.name
        position = await watch.read_position(self._pool, name)
        if not position.streams or not await duties.hold(self._pool, f"watch.{name}", self._me, LEASE):
            return False
        began = time.monotonic()
        page = await self._cluster.events(position.cursor, EVENTS_A_PAGE)
        if page.cursor == position.cursor:
            return time.monotonic() - began > AT_ONCE_SECONDS
        found = await watch.find_watched(self._pool, name, runs.keys_of(page.events))
        await self._bus.publish(runs.progress_of(page.events, {one.attempt.key: one.attempt for one in found}))
        failpoint("watch.published")
        async with transaction(self._pool) as conn:
            if not await watch.move_cursor(conn, name, position.cursor, page.cursor):
                return False
            await actions.apply_events(conn, name, page.events, self._most_attempts)
            failpoint("watch.applied")
        return True
