"""Clusters' streams are read, and runs of clusters without a stream are polled."""

import asyncio
import time
from datetime import timedelta
from uuid import UUID

import structlog
from prometheus_client import Counter

from brightrun.cluster_client.client import ClusterClient
from brightrun.cluster_client.responses import Missing, Unanswered
from brightrun.contracts.values import utc_now
from brightrun.runtime.database import Pool, transaction
from brightrun.runtime.failpoints import failpoint
from brightrun.runtime.kafka import KafkaClient
from brightrun.scheduler.coordination import lead
from brightrun.scheduler.observation import actions, queries
from brightrun.scheduler.observation.models import DueRun
from brightrun.scheduler.observation.rules import stream
from brightrun.scheduler.observation.rules.polling import read_response

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


log = structlog.get_logger()

MAX_CONCURRENT = 8
"""Requests to one cluster at a time."""

LEASE = timedelta(seconds=15)
"""Longer than a response may take."""

POLLS = Counter("brightrun_polls_total", "Requests for a run's status, by response.", ["cluster", "answer"])


class Poller:
    """Polls one cluster; any number of schedulers share its runs."""

    def __init__(self, pool: Pool, cluster: ClusterClient, max_silence: timedelta, max_attempts: int) -> None:
        self._pool = pool
        self._cluster = cluster
        self._max_silence = max_silence
        self._max_attempts = max_attempts

    async def work(self) -> bool:
        """Poll runs that are due; True if there may be more of them."""
        name = self._cluster.name
        position = await queries.read_position(self._pool, name)
        if position.streams is not False:
            return False
        due = await queries.take_due(self._pool, name, LEASE, MAX_CONCURRENT)
        if not due:
            return False
        live = await queries.count_live(self._pool, name)
        await asyncio.gather(*(self._poll(run, live) for run in due))
        return len(due) == MAX_CONCURRENT

    async def _poll(self, due: DueRun, live: int) -> None:
        attempt = due.attempt
        response = await self._cluster.status(attempt.external_job_id or "")
        POLLS.labels(self._cluster.name, type(response).__name__.lower()).inc()
        bound_log = log.bind(**attempt.log_fields)
        match response:
            case Unanswered(reason):
                bound_log.warning("poll.failed", reason=reason)
            case Missing():
                bound_log.warning("poll.missing")
        result = read_response(due.run, due.state, response, utc_now(), self._max_silence)
        failpoint("poll.read")
        try:
            async with transaction(self._pool) as conn:
                await actions.apply_poll(conn, due, result, live, self._max_attempts)
                failpoint("poll.applied")
        except Exception:
            bound_log.exception("poll.unsaved")
