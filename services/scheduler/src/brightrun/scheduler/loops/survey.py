"""Clusters are asked what they can do and have free; the queue is counted."""

import time
from collections.abc import Callable

import structlog
from prometheus_client import Gauge

from brightrun.cluster_client.client import ClusterClient
from brightrun.cluster_client.responses import ClusterError
from brightrun.contracts.cluster_api import Capabilities
from brightrun.runtime.database import Pool, transaction
from brightrun.scheduler.actions import queue as actions
from brightrun.scheduler.queries import clusters, queue
from brightrun.scheduler.rules import capacity, retries

log = structlog.get_logger()

CAPABILITIES_SECONDS = 60.0

FREE = Gauge("brightrun_scheduler_free_gpus", "GPUs that the cluster says are free.", ["cluster", "types"])
TOTAL = Gauge("brightrun_scheduler_gpus", "GPUs that the cluster says it has.", ["cluster", "types"])
ANSWERS = Gauge("brightrun_cluster_answers", "1 while the cluster gives good answers, else 0.", ["cluster"])
DEPTH = Gauge("brightrun_queue_jobs", "Jobs that are not over, by where they stand.", ["state"])


class Surveyor:
    """Asks one cluster."""

    def __init__(self, pool: Pool, cluster: ClusterClient, wake: Callable[[], None]) -> None:
        self._pool = pool
        self._cluster = cluster
        self._wake = wake
        self._capabilities: Capabilities | None = None
        self._good_until = 0.0

    async def work(self) -> bool:
        """Write down what the cluster has now, and wake dispatch if some is free. False: the clock comes again."""
        asked_at = await clusters.read_clock(self._pool)
        name = self._cluster.name
        try:
            capabilities = await self._ask_capabilities()
            taken = {} if capabilities.capacity else await clusters.count_taken(self._pool, name)
            pools = capacity.pools_of(capabilities, await self._cluster.capacity(capabilities, taken))
        except ClusterError as error:
            self._capabilities = None
            ANSWERS.labels(name).set(0)
            log.warning("cluster.unanswered", cluster=name, error=repr(error))
            await clusters.record_problem(self._pool, name, repr(error), retries.SILENCE)
            return False
        async with transaction(self._pool) as conn:
            known = await clusters.lock_cluster(conn, name)
            pools = capacity.remember_largest(pools, known.pools or ())
            await clusters.record_report(conn, name, capabilities, pools, asked_at)
        ANSWERS.labels(name).set(1)
        for pool in pools:
            types = ",".join(sorted(pool.types or ()))
            FREE.labels(name, types).set(-1 if pool.free is None else pool.free)
            TOTAL.labels(name, types).set(-1 if pool.total is None else pool.total)
        if any(pool.free != 0 for pool in pools):
            self._wake()
        return False

    async def _ask_capabilities(self) -> Capabilities:
        if self._capabilities is None or self._good_until < time.monotonic():
            self._capabilities = await self._cluster.capabilities()
            self._good_until = time.monotonic() + CAPABILITIES_SECONDS
        return self._capabilities


async def count(pool: Pool) -> bool:
    """Count the queue, for the metrics."""
    for state, jobs in (await queue.count_by_state(pool)).items():
        DEPTH.labels(state).set(jobs)
    return False


async def refuse_impossible(pool: Pool, names: list[str]) -> bool:
    """End jobs that wait for GPUs which no cluster has."""
    shapes = await queue.read_shapes(pool)
    reports = await clusters.read_reports(pool, names, retries.SILENCE) if shapes else []
    for user_id, gpu_type, gpus in shapes:
        if capacity.can_never_run(reports, gpu_type, gpus):
            async with transaction(pool) as conn:
                await actions.refuse(conn, user_id, gpu_type, gpus)
    return False
