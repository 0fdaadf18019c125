"""Clusters are asked what they can do and what they have free."""

import time
from collections.abc import Callable, Sequence

import structlog
from prometheus_client import Gauge

from brightrun.cluster_client.client import ClusterClient
from brightrun.cluster_client.responses import ClusterError
from brightrun.contracts.cluster_api import Capabilities
from brightrun.runtime.database import Pool, transaction
from brightrun.scheduler.clusters import queries, rules
from brightrun.scheduler.clusters.models import GpuPool

log = structlog.get_logger()

CAPABILITIES_SECONDS = 15.0

FREE = Gauge("brightrun_scheduler_free_gpus", "GPUs that the cluster reports free.", ["cluster", "types"])
TOTAL = Gauge("brightrun_scheduler_gpus", "GPUs that the cluster reports in all.", ["cluster", "types"])
ANSWERS = Gauge("brightrun_cluster_answers", "1 while the cluster gives usable responses, else 0.", ["cluster"])


class CapacityProbe:
    """Asks one cluster."""

    def __init__(self, pool: Pool, cluster: ClusterClient, wake_dispatch: Callable[[], None]) -> None:
        self._pool = pool
        self._cluster = cluster
        self._wake_dispatch = wake_dispatch
        self._capabilities: Capabilities | None = None
        self._expires = 0.0

    async def work(self) -> bool:
        """Save what the cluster has now, and wake dispatch if some of it is free. False: the clock repeats it."""
        name = self._cluster.name
        try:
            pools = await self._probe()
        except ClusterError as error:
            self._capabilities = None
            ANSWERS.labels(name).set(0)
            log.warning("cluster.unanswered", cluster=name, error=repr(error))
            await queries.save_problem(self._pool, name, repr(error), rules.MAX_SILENCE)
            return False
        ANSWERS.labels(name).set(1)
        for pool in pools:
            types = ",".join(sorted(pool.types or ()))
            FREE.labels(name, types).set(-1 if pool.free is None else pool.free)
            TOTAL.labels(name, types).set(-1 if pool.total is None else pool.total)
        if any(pool.free != 0 for pool in pools):
            self._wake_dispatch()
        return False

    async def _probe(self) -> Sequence[GpuPool]:
        """Raises ClusterError."""
        asked_at, name = await queries.read_clock(self._pool), self._cluster.name
        capabilities = await self._ask_capabilities()
        used = {} if capabilities.capacity else await queries.count_used_gpus(self._pool, name)
        pools = rules.pools_of(capabilities, await self._cluster.capacity(capabilities, used))
        async with transaction(self._pool) as conn:
            pools = rules.remember_max_total(pools, await queries.lock_pools(conn, name))
            pausable = rules.can_pause(capabilities)
            await queries.save_report(conn, name, capabilities, pools, asked_at, pausable=pausable)
        return pools

    async def _ask_capabilities(self) -> Capabilities:
        if self._capabilities is None or self._expires < time.monotonic():
            self._capabilities = await self._cluster.capabilities()
            self._expires = time.monotonic() + CAPABILITIES_SECONDS
        return self._capabilities
