"""Orphan runs are stopped; attempts whose runs or clusters are gone are given up."""

import time
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from uuid import UUID

import structlog
from prometheus_client import Counter

from brightrun.cluster_client.client import ClusterClient
from brightrun.cluster_client.responses import ClusterError, Missing
from brightrun.contracts.cluster_api import RunSummary
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.values import utc_now
from brightrun.runtime.database import Pool, transaction
from brightrun.runtime.failpoints import failpoint
from brightrun.scheduler.clusters.queries import read_capabilities
from brightrun.scheduler.coordination import lead
from brightrun.scheduler.lifecycle.actions import lose_attempt
from brightrun.scheduler.lifecycle.rules import GONE, SILENT
from brightrun.scheduler.models import Attempt, Key
from brightrun.scheduler.observation.actions import apply_events
from brightrun.scheduler.observation.models import ObservedRun, PollState
from brightrun.scheduler.observation.rules.polling import read_response
from brightrun.scheduler.reconciliation import queries
from brightrun.scheduler.reconciliation.models import Owner
from brightrun.scheduler.reconciliation.rules import GRACE, is_known, orphan_runs

log = structlog.get_logger()

ORPHANS = Counter("brightrun_orphan_runs_total", "Runs stopped because no attempt owned them.", ["cluster", "kind"])
GONE_RUNS = Counter("brightrun_gone_runs_total", "Attempts whose runs were gone.", ["cluster", "why"])


class Reconciler:
    """Compares one cluster, by one scheduler at a time. `clock` counts seconds."""

    def __init__(
        self,
        pool: Pool,
        cluster: ClusterClient,
        scheduler: UUID,
        max_attempts: int,
        *,
        stop_unknown: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._cluster = cluster
        self._scheduler = scheduler
        self._max_attempts = max_attempts
        self._stop_unknown = stop_unknown
        self._clock = clock
        self._stopped: set[str] = set()
        self._unknown_since: dict[str, float] = {}
        self._ended: set[Key] = set()

    async def work(self) -> bool:
        """Compare once. False: the clock repeats it."""
        name = self._cluster.name
        if not await lead(self._pool, name, self._scheduler):
            return False
        capabilities = await read_capabilities(self._pool, name)
        try:
            await self._stop_abandoned()
            if capabilities and capabilities.runs:
                await self._compare()
        except ClusterError as error:
            log.warning("reconciler.unanswered", cluster=name, error=repr(error))
        return False

    async def _stop_abandoned(self) -> None:
        """Stop the runs of lost attempts, until the cluster has acknowledged it."""
        for attempt in await queries.find_abandoned(self._pool, self._cluster.name):
            await self._stop("abandoned", attempt.external_job_id or "", attempt.key)
            await queries.acknowledge_stop(self._pool, attempt)

    async def _compare(self) -> None:
        """The cluster is asked first: an attempt that owns one of its runs is known by then."""
        name = self._cluster.name
        live = await self._cluster.live_runs()
        run_ids = {run.external_job_id for run in live}
        self._stopped &= run_ids
        owners = await queries.find_owners(self._pool, {(run.job_id, run.attempt) for run in live})
        await self._stop_orphans(orphan_runs(name, live, owners), owners)
        settled = await queries.find_settled(self._pool, name, GRACE)
        missing = [attempt for attempt in settled if attempt.external_job_id not in run_ids]
        self._ended = {attempt.key for attempt in missing if await self._has_ended(attempt)}

    async def _stop_orphans(self, orphans: Collection[RunSummary], owners: Mapping[Key, Owner]) -> None:
        now = self._clock()
        self._unknown_since = {
            run.external_job_id: self._unknown_since.get(run.external_job_id, now)
            for run in orphans
            if not is_known(run, owners)
        }
        for run in orphans:
            since = self._unknown_since.get(run.external_job_id)
            if since is None:
                await self._stop("ours", run.external_job_id, (run.job_id, run.attempt))
            elif self._stop_unknown and now - since >= GRACE.total_seconds():
                await self._stop("unknown", run.external_job_id, (run.job_id, run.attempt))

    async def _stop(self, kind: str, run_id: str, key: Key) -> None:
        """Cancel the run, as often as it is still listed; it is counted once."""
        found = await self._cluster.stop(run_id, "cancel")
        failpoint("reconciler.stopped")
        if found and run_id not in self._stopped:
            self._stopped.add(run_id)
            ORPHANS.labels(self._cluster.name, kind).inc()
            log.warning(
                "run.orphaned",
                cluster=self._cluster.name,
                external_job_id=run_id,
                kind=kind,
                job_id=str(key[0]),
                attempt=key[1],
            )

    async def _has_ended(self, attempt: Attempt) -> bool:
        """Ask for a run that is not listed, which proves nothing alone. True if it is over.

        Its end is left to the stream, until that has not reported it by the next comparison.
        """
        response = await self._cluster.status(attempt.external_job_id or "")
        if isinstance(response, Missing):
            GONE_RUNS.labels(attempt.cluster, "unknown").inc()
            async with transaction(self._pool) as conn:
                await lose_attempt(conn, attempt, GONE, self._max_attempts)
            return False
        event = read_response(ObservedRun(attempt), PollState(), response, utc_now(), timedelta.max).event
        if event is None or not JobStatus(event.run.status).terminal:
            return False
        if attempt.key in self._ended:
            GONE_RUNS.labels(attempt.cluster, "over").inc()
            async with transaction(self._pool) as conn:
                await apply_events(conn, attempt.cluster, [event], self._max_attempts)
        return True


class SilenceCheck:
    """Gives up the attempts of clusters that have been silent for too long."""

    def __init__(self, pool: Pool, max_silence: timedelta, max_attempts: int) -> None:
        self._pool = pool
        self._max_silence = max_silence
        self._max_attempts = max_attempts
        self._began = time.monotonic()

    async def work(self) -> bool:
        """Check once. Clusters that nobody asks any more count once this scheduler has run for `max_silence` itself."""
        unasked = time.monotonic() - self._began > self._max_silence.total_seconds()
        for cluster, attempts in (await queries.find_silent(self._pool, self._max_silence, unasked)).items():
            log.warning("cluster.silent", cluster=cluster, attempts=len(attempts))
            for attempt in attempts:
                GONE_RUNS.labels(cluster, "silent").inc()
                async with transaction(self._pool) as conn:
                    await lose_attempt(conn, attempt, SILENT, self._max_attempts)
        return False
