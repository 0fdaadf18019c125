"""Runs of clusters without a stream are asked about, one by one."""

import asyncio
from datetime import timedelta

import structlog
from prometheus_client import Counter

from brightrun.cluster_client.client import ClusterClient
from brightrun.cluster_client.responses import Missing, Reported, Unanswered
from brightrun.contracts.values import utc_now
from brightrun.runtime.database import Pool, transaction
from brightrun.runtime.failpoints import failpoint
from brightrun.scheduler.actions import polling as actions
from brightrun.scheduler.queries import polling, watch
from brightrun.scheduler.queries.polling import Due
from brightrun.scheduler.rules.polling import hear

log = structlog.get_logger()

AT_ONCE = 8
"""Questions under way to one cluster."""

LEASE = timedelta(seconds=15)
"""Longer than an answer may take."""

POLLS = Counter("brightrun_polls_total", "Questions about a run's status, by what came back.", ["cluster", "answer"])


class Poller:
    """Asks one cluster; any number of schedulers share its runs."""

    def __init__(self, pool: Pool, cluster: ClusterClient, silence: timedelta, most_attempts: int) -> None:
        self._pool = pool
        self._cluster = cluster
        self._silence = silence
        self._most_attempts = most_attempts

    async def work(self) -> bool:
        """Ask about runs that are due; True if there may be more of them."""
        name = self._cluster.name
        position = await watch.read_position(self._pool, name)
        if position.streams is not False:
            return False
        due = await polling.take_due(self._pool, name, LEASE, AT_ONCE)
        if not due:
            return False
        live = await polling.count_live(self._pool, name)
        await asyncio.gather(*(self._ask(one, live) for one in due))
        return len(due) == AT_ONCE

    async def _ask(self, due: Due, live: int) -> None:
        attempt = due.attempt
        answer = await self._cluster.status(attempt.external_job_id or "")
        POLLS.labels(self._cluster.name, type(answer).__name__.lower()).inc()
        about = log.bind(job_id=str(attempt.job_id), attempt=attempt.attempt, cluster=self._cluster.name)
        match answer:
            case Unanswered(reason):
                about.warning("poll.failed", reason=reason)
            case Missing():
                about.warning("poll.missing")
            case Reported():
                pass
        heard = hear(due.watched, due.polled, answer, utc_now(), self._silence)
        failpoint("poll.heard")
        try:
            async with transaction(self._pool) as conn:
                await actions.apply_answer(conn, due, heard, live, self._most_attempts)
                failpoint("poll.applied")
        except Exception:
            about.exception("poll.unwritten")
