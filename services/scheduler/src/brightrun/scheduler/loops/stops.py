"""Runs are told to end."""

import asyncio

import structlog
from prometheus_client import Counter

from brightrun.cluster_client.client import ClusterClient
from brightrun.cluster_client.responses import ClusterError
from brightrun.contracts.cluster_api import StopSignal
from brightrun.runtime.database import Pool, transaction
from brightrun.scheduler.actions import runs
from brightrun.scheduler.actions import stops as actions
from brightrun.scheduler.models import Stopping
from brightrun.scheduler.queries import clusters, stops
from brightrun.scheduler.rules.polling import GONE
from brightrun.scheduler.rules.stops import due, order_of

log = structlog.get_logger()

AT_ONCE = 16

ORDERS = Counter(
    "brightrun_stop_orders_total", "What runs were told, by what came back.", ["cluster", "order", "answer"]
)


class Stopper:
    """Tells one cluster's runs to end; the cluster reports when they have."""

    def __init__(self, pool: Pool, cluster: ClusterClient, most_attempts: int) -> None:
        self._pool = pool
        self._cluster = cluster
        self._most_attempts = most_attempts
        self._room = asyncio.Semaphore(AT_ONCE)

    async def work(self) -> bool:
        """Give the orders that are due. False: repeats come with the clock."""
        name = self._cluster.name
        stopping, now = await stops.read_stopping(self._pool, name)
        known = await clusters.read_capabilities(self._pool, [name]) if stopping else {}
        if name not in known:
            return False
        orders = [
            (run, order) for run in stopping if (order := order_of(run, known[name], now)) and due(run, order, now)
        ]
        await asyncio.gather(*(self._tell(run, order) for run, order in orders))
        return False

    async def _tell(self, run: Stopping, order: StopSignal) -> None:
        attempt = run.attempt
        async with self._room:
            if not await stops.claim_order(self._pool, run, order):
                return
            try:
                there = await self._cluster.stop(attempt.external_job_id or "", order)
            except ClusterError as error:
                ORDERS.labels(attempt.cluster, order, "failed").inc()
                log.warning("stop.failed", job_id=str(attempt.job_id), attempt=attempt.attempt, error=repr(error))
                return
            ORDERS.labels(attempt.cluster, order, "heard" if there else "gone").inc()
            if there:
                await stops.note_heard(self._pool, run, order)
            else:
                async with transaction(self._pool) as conn:
                    await runs.lose(conn, attempt, GONE, self._most_attempts)


async def stop_limited(pool: Pool) -> bool:
    """Have runs finish that are about to pass a limit of their jobs."""
    async with transaction(pool) as conn:
        return await actions.stop_limited(conn)


async def give_up_unheard(pool: Pool, most_attempts: int) -> bool:
    """End cancelled jobs whose clusters do not answer. False: the clock comes again."""
    async with transaction(pool) as conn:
        await actions.give_up_unheard(conn, most_attempts)
    return False
