"""A run that is not finished: all its changes go through here, one after the other."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

import structlog
from prometheus_client import Counter

from brightrun.cluster.models import Run
from brightrun.cluster.runs import actions, rules
from brightrun.cluster.runs.run_context import RunContext
from brightrun.contracts.cluster_api import ClusterFile
from brightrun.contracts.reports import FailedReport, FinishedReport, Report
from brightrun.contracts.training import JobError
from brightrun.contracts.values import utc_now

FINISHED = Counter("brightrun_cluster_runs_finished_total", "Runs that ended, by how they did.", ["status"])


class LiveRun:
    """The current state of a run, its folder, and whether it shall stop."""

    def __init__(self, run: Run, context: RunContext) -> None:
        self.run = run
        self.folder = context.folder(run.id)
        self.stop_requested = asyncio.Event()
        self.log = structlog.get_logger().bind(
            external_job_id=run.id, job_id=str(run.request.job_id), attempt=run.request.attempt
        )
        self._context = context
        self._changing = asyncio.Lock()

    async def change(self, rule: Callable[[Run], Run]) -> None:
        await self._apply(actions.change, rule)

    async def fail(self, error: JobError) -> None:
        await self.change(partial(rules.fail, error=error, now=utc_now()))

    async def record(self, reports: Sequence[Report], offset: int) -> None:
        """Record the trainer's reports; a run whose files are not there has failed instead of completed."""
        files: tuple[ClusterFile, ...] = ()
        for position, report in enumerate(reports):
            if isinstance(report, FinishedReport) and rules.completes(self.run, report):
                try:
                    files = await asyncio.to_thread(self.folder.describe_adapter, report.files)
                except OSError as error:
                    message = f"The trainer left an incomplete adapter ({error.strerror or error})."
                    incomplete = JobError(code="artifact_incomplete", message=message, retryable=True)
                    reports = [*reports[:position], FailedReport(error=incomplete)]
                break
        await self._apply(actions.record_reports, reports, offset, files)

    async def _apply(self, action: Callable[..., Run], *args: object) -> None:
        async with self._changing:
            before = self.run.status.status
            self.run = await self._context.store.transact(action, self.run, *args)
            status = self.run.status.status
            if status == before:
                return
            self.log.info("run.changed", status=status)
            self._context.callbacks.send(self.run)
            if self.run.finished:
                FINISHED.labels(status).inc()
