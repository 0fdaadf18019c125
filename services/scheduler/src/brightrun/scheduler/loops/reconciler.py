"""Clusters' runs and our attempts are compared: what nobody owns is stopped, what is gone is tried again."""

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
from brightrun.scheduler.actions import runs as actions
from brightrun.scheduler.models import Attempt, Key, Owner, Polled, Watched
from brightrun.scheduler.queries import clusters, duties, reconciliation
from brightrun.scheduler.rules.polling import GONE, SILENT, hear
from brightrun.scheduler.rules.reconciliation import GRACE, is_ours, strays

log = structlog.get_logger()

LEASE = timedelta(seconds=90)

STRAYS = Counter("brightrun_stray_runs_total", "Runs that no attempt owned and that were stopped.", ["cluster", "kind"])
GONE_RUNS = Counter("brightrun_gone_runs_total", "Attempts whose runs were gone.", ["cluster", "why"])


class Reconciler:
    """Compares one cluster, by one scheduler at a time. `clock` counts seconds."""

    def __init__(
        self,
        pool: Pool,
        cluster: ClusterClient,
        me: UUID,
        most_attempts: int,
        *,
        stop_unknown: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._cluster = cluster
        self._me = me
        self._most_attempts = most_attempts
        self._stop_unknown = stop_unknown
        self._clock = clock
        self._stopped: set[str] = set()
        self._unknown_since: dict[str, float] = {}
        self._over_there: set[Key] = set()

    async def work(self) -> bool:
        """Compare once. False: the clock comes again."""
        name = self._cluster.name
        if not await duties.hold(self._pool, f"reconcile.{name}", self._me, LEASE):
            return False
        capabilities = (await clusters.read_capabilities(self._pool, [name])).get(name)
        try:
            await self._stop_abandoned()
            if capabilities and capabilities.runs:
                await self._compare()
        except ClusterError as error:
            log.warning("reconciler.unanswered", cluster=name, error=repr(error))
        return False

    async def _stop_abandoned(self) -> None:
        """Stop what was given up, until the cluster has acknowledged it."""
        for attempt in await reconciliation.find_abandoned(self._pool, self._cluster.name):
            await self._stop("abandoned", attempt.external_job_id or "", attempt.key)
            await reconciliation.note_stopped(self._pool, attempt)

    async def _compare(self) -> None:
        """The cluster is asked first: what it has then, is ours by now if it is ever going to be."""
        name = self._cluster.name
        live = await self._cluster.live_runs()
        there = {run.external_job_id for run in live}
        self._stopped &= there
        owners = await reconciliation.find_owners(self._pool, {(run.job_id, run.attempt) for run in live})
        await self._stop_strays(strays(name, live, owners), owners)
        missing = [
            attempt
            for attempt in await reconciliation.find_settled(self._pool, name, GRACE)
            if attempt.external_job_id not in there
        ]
        self._over_there = {attempt.key for attempt in missing if await self._look_for(attempt)}

    async def _stop_strays(self, found: Collection[RunSummary], owners: Mapping[Key, Owner]) -> None:
        now = self._clock()
        self._unknown_since = {
            run.external_job_id: self._unknown_since.get(run.external_job_id, now)
            for run in found
            if not is_ours(run, owners)
        }
        for run in found:
            since = self._unknown_since.get(run.external_job_id)
            if since is None:
                await self._stop("ours", run.external_job_id, (run.job_id, run.attempt))
            elif self._stop_unknown and now - since >= GRACE.total_seconds():
                await self._stop("unknown", run.external_job_id, (run.job_id, run.attempt))

    async def _stop(self, kind: str, run_id: str, key: Key) -> None:
        """Tell the run to end, as often as it is still there; it is counted once."""
        there = await self._cluster.stop(run_id, "cancel")
        failpoint("reconciler.stopped")
        if there and run_id not in self._stopped:
            self._stopped.add(run_id)
            STRAYS.labels(self._cluster.name, kind).inc()
            where = {"cluster": self._cluster.name, "external_job_id": run_id}
            log.warning("run.stray", **where, kind=kind, job_id=str(key[0]), attempt=key[1])

    async def _look_for(self, attempt: Attempt) -> bool:
        """Ask for a run that is not in the list, which proves nothing: the answer may. True if it is over there.

        An end is left to the stream to tell, until it has not done so by the next comparison.
        """
        answer = await self._cluster.status(attempt.external_job_id or "")
        if isinstance(answer, Missing):
            GONE_RUNS.labels(attempt.cluster, "unknown").inc()
            async with transaction(self._pool) as conn:
                await actions.lose(conn, attempt, GONE, self._most_attempts)
            return False
        event = hear(Watched(attempt), Polled(), answer, utc_now(), timedelta.max).event
        if event is None or not JobStatus(event.run.status).terminal:
            return False
        if attempt.key in self._over_there:
            GONE_RUNS.labels(attempt.cluster, "over").inc()
            async with transaction(self._pool) as conn:
                await actions.apply_events(conn, attempt.cluster, [event], self._most_attempts)
        return True


class SilenceBreaker:
    """Gives up the attempts of clusters that have been silent for too long."""

    def __init__(self, pool: Pool, silence: timedelta, most_attempts: int) -> None:
        self._pool = pool
        self._silence = silence
        self._most_attempts = most_attempts
        self._began = time.monotonic()

    async def work(self) -> bool:
        """Look once. Clusters that nobody asks any more count when we have been here for as long ourselves."""
        asked = time.monotonic() - self._began > self._silence.total_seconds()
        for cluster, attempts in (await reconciliation.find_silent(self._pool, self._silence, asked)).items():
            log.warning("cluster.silent", cluster=cluster, attempts=len(attempts))
            for attempt in attempts:
                GONE_RUNS.labels(cluster, "silent").inc()
                async with transaction(self._pool) as conn:
                    await actions.lose(conn, attempt, SILENT, self._most_attempts)
        return False
