"""Runs are sent stop signals."""

import asyncio

import structlog
from prometheus_client import Counter

from brightrun.cluster_client.client import ClusterClient
from brightrun.cluster_client.responses import ClusterError
from brightrun.contracts.cluster_api import StopSignal
from brightrun.runtime.database import Pool, transaction
from brightrun.scheduler.clusters.queries import read_capabilities
from brightrun.scheduler.lifecycle.actions import lose_attempt
from brightrun.scheduler.lifecycle.rules import GONE
from brightrun.scheduler.limits.actions import stop_limited
from brightrun.scheduler.stopping import actions, queries, rules
from brightrun.scheduler.stopping.models import StoppingRun

log = structlog.get_logger()

MAX_CONCURRENT = 16

SIGNALS = Counter(
    "brightrun_stop_signals_total", "Stop signals that runs were sent, by response.", ["cluster", "signal", "answer"]
)


class Stopper:
    """Stops one cluster's runs; the cluster reports when they have ended."""

    def __init__(self, pool: Pool, cluster: ClusterClient, max_attempts: int) -> None:
        self._pool = pool
        self._cluster = cluster
        self._max_attempts = max_attempts
        self._slots = asyncio.Semaphore(MAX_CONCURRENT)

    async def work(self) -> bool:
        """Send the signals that are due. False: the clock repeats it."""
        runs, now = await queries.read_stopping(self._pool, self._cluster.name)
        capabilities = await read_capabilities(self._pool, self._cluster.name) if runs else None
        if capabilities is None:
            return False
        signals = [(run, rules.signal_for(run, capabilities, now)) for run in runs]
        await asyncio.gather(
            *(self._send(run, signal) for run, signal in signals if signal and rules.is_due(run, signal, now))
        )
        return False

    async def _send(self, run: StoppingRun, signal: StopSignal) -> None:
        attempt = run.attempt
        async with self._slots:
            if not await queries.claim_signal(self._pool, run, signal):
                return
            try:
                found = await self._cluster.stop(attempt.external_job_id or "", signal)
            except ClusterError as error:
                SIGNALS.labels(attempt.cluster, signal, "failed").inc()
                log.warning("stop.failed", **attempt.log_fields, error=repr(error))
                return
            SIGNALS.labels(attempt.cluster, signal, "acknowledged" if found else "gone").inc()
            if found:
                await queries.acknowledge_signal(self._pool, run, signal)
            else:
                async with transaction(self._pool) as conn:
                    await lose_attempt(conn, attempt, GONE, self._max_attempts)


async def stop_limited_runs(pool: Pool) -> bool:
    """Have runs finish that are about to exceed a limit of their jobs."""
    async with transaction(pool) as conn:
        return await stop_limited(conn)


async def give_up_unacknowledged(pool: Pool, max_attempts: int) -> bool:
    """End cancelled jobs whose clusters do not answer. False: the clock repeats it."""
    async with transaction(pool) as conn:
        await actions.give_up_unacknowledged(conn, max_attempts)
    return False
