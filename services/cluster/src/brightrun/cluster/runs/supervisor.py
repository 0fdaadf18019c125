"""Watches every live run, one by one, whatever ends this process, and ends trainers that no live run owns."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from prometheus_client import Counter, Gauge

from brightrun.cluster.executors.executor import Unreachable
from brightrun.cluster.models import Run
from brightrun.cluster.runs import actions, queries
from brightrun.cluster.runs.run_context import RunContext
from brightrun.cluster.runs.watch import Watch
from brightrun.contracts.cluster_api import StopSignal

log = structlog.get_logger()

LIVE_RUNS = Gauge("brightrun_cluster_live_runs", "Runs that are not finished.")
ORPHANS = Counter("brightrun_cluster_orphans_ended_total", "Trainers ended because no live run owns them.")


class Supervisor:
    """One task for each live run; the next process goes on where this one ended."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._watches: dict[str, Watch] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Go on with the runs of an earlier process; at the end let all trainers save and stop, to be resumed later.

        Trainers that outlast this service are left to work.
        """
        for run in await self._context.store.read(queries.live_runs):
            self.watch(run)
        try:
            yield
        finally:
            for watch in self._watches.values():
                watch.shut_down()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def watch(self, run: Run) -> None:
        watch = Watch(run, self._context)
        task = asyncio.create_task(watch.run_until_finished())
        self._watches[run.id], self._tasks[run.id] = watch, task
        task.add_done_callback(lambda _: (self._watches.pop(run.id), self._tasks.pop(run.id)))

    async def stop(self, run_id: str, signal: StopSignal) -> Run:
        """Ask a run to stop; a finished run stays what it is. Raises NotFound."""
        watch = self._watches.get(run_id)
        return await watch.stop(signal) if watch else await self._context.store.read(actions.get_run, run_id)

    async def end_orphans(self) -> None:
        """The trainers are listed before the runs: one that starts in between belongs to a live run."""
        try:
            executions = await self._context.executor.list_executions()
        except Unreachable as error:
            log.warning("orphans.unknown", reason=str(error))
            return
        live = await self._context.store.read(queries.live_run_ids)
        LIVE_RUNS.set(len(live))
        for run_id, execution in executions:
            if run_id not in live:
                log.info("orphan.ended", external_job_id=run_id)
                await execution.kill()
                ORPHANS.inc()
