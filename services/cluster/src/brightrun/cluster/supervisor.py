"""Watches over every live run: its data set, its trainer, what the trainer says, and how both end."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import structlog
from prometheus_client import Counter
from pydantic import ValidationError

from brightrun.cluster import actions, dataset, queries, rules
from brightrun.cluster.callbacks import Callbacks
from brightrun.cluster.executor import Execution, Executor
from brightrun.cluster.models import Run
from brightrun.cluster.run_folder import RunFolder
from brightrun.cluster.settings import Settings
from brightrun.cluster.store import Store
from brightrun.contracts.cluster_api import ClusterFile
from brightrun.contracts.reports import REPORT, FailedReport, FinishedReport, Report
from brightrun.contracts.training import JobError
from brightrun.contracts.values import utc_now
from brightrun.runtime.failpoints import failpoint

log = structlog.get_logger()

POLL_SECONDS = 0.1
RETRY_SECONDS = 5.0

LAUNCHES = Counter("brightrun_cluster_launches_total", "Trainers started.", ["resumed"])
FINISHED = Counter("brightrun_cluster_runs_finished_total", "Runs that ended, by how they did.", ["status"])


@dataclass(frozen=True, slots=True)
class Facilities:
    """What it takes to bring a run to its end."""

    settings: Settings
    store: Store
    executor: Executor
    http: httpx.AsyncClient
    callbacks: Callbacks


class Supervisor:
    """One task for each live run. Whatever ends this process, the next one goes on where it was."""

    def __init__(self, facilities: Facilities) -> None:
        self._facilities = facilities
        self._store = facilities.store
        self._watches: dict[str, _Watch] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Go on with the runs of an earlier life; at the end let all trainers save and stop, to be resumed later."""
        for run in await self._store.read(queries.live_runs):
            self.watch(run)
        try:
            yield
        finally:
            for watch in self._watches.values():
                watch.shut_down()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def watch(self, run: Run) -> None:
        """Bring a run to its end, in the background."""
        watch = _Watch(run, self._facilities)
        task = asyncio.create_task(watch.run_to_its_end())
        self._watches[run.id], self._tasks[run.id] = watch, task
        task.add_done_callback(lambda _: (self._watches.pop(run.id), self._tasks.pop(run.id)))

    async def cancel(self, run_id: str) -> Run:
        """Ask a run to save and stop; a finished run stays what it is. Raises NotFound."""
        watch = self._watches.get(run_id)
        return await watch.cancel() if watch else await self._store.read(actions.get, run_id)


class _Watch:
    """One run, over as many trainers as it takes."""

    def __init__(self, run: Run, facilities: Facilities) -> None:
        self._run = run
        self._folder = RunFolder(run_path(facilities.settings, run.id))
        self._settings = facilities.settings
        self._store = facilities.store
        self._executor = facilities.executor
        self._http = facilities.http
        self._callbacks = facilities.callbacks
        self._told_to_stop = asyncio.Event()
        self._shutting_down = False
        self._log = log.bind(external_job_id=run.id, job_id=str(run.request.job_id), attempt=run.request.attempt)

    async def cancel(self) -> Run:
        await self._change(rules.cancel)
        self._told_to_stop.set()
        return self._run

    def shut_down(self) -> None:
        self._shutting_down = True
        self._told_to_stop.set()

    async def run_to_its_end(self) -> None:
        """What goes wrong on our own side (a full disk, say) is tried again: the run is not to blame."""
        while not self._run.finished and not self._shutting_down:
            try:
                await self._supervise()
            except Exception:
                self._log.exception("run.unsupervised")
                await asyncio.sleep(RETRY_SECONDS)

    async def _supervise(self) -> None:
        if self._run.cancelling:
            self._told_to_stop.set()
        await asyncio.to_thread(self._folder.prepare, self._run.request.hyperparameters.resolved())
        await self._fetch_dataset()
        while not self._run.finished and not self._shutting_down:
            execution = await asyncio.to_thread(self._executor.find, self._folder) or await self._launch()
            if execution:
                await self._follow(execution)
        if self._shutting_down and self._run.status.started_at:
            await self._change(rules.interrupt)

    async def _fetch_dataset(self) -> None:
        if self._folder.data.exists():
            return
        download = asyncio.create_task(dataset.download(self._http, self._run.request.dataset_url, self._folder.data))
        stop = asyncio.create_task(self._told_to_stop.wait())
        await asyncio.wait((download, stop), return_when=asyncio.FIRST_COMPLETED)
        for task in (download, stop):
            task.cancel()
        try:
            await download
        except asyncio.CancelledError:
            return
        except dataset.DatasetUnreachable as error:
            await self._fail("dataset_unreachable", f"The data set could not be downloaded ({error}).")

    async def _launch(self) -> Execution | None:
        """Start a trainer if the run shall have one; recorded first, so that a crash in between counts as a restart."""
        resume = self._run.status.started_at is not None
        await self._listen()
        if not self._run.finished:
            await self._change(partial(rules.launch, now=utc_now(), max_restarts=self._settings.max_restarts))
        if self._run.finished:
            return None
        failpoint("cluster.launch.recorded")
        self._folder.drop_torn_line(self._run.offset)
        try:
            execution = self._executor.start(self._folder, self._run.devices, resume)
        except OSError as error:
            await self._fail("trainer_unstartable", f"The trainer could not be started ({error}).")
            return None
        LAUNCHES.labels(resume).inc()
        self._log.info("trainer.started", resume=resume, restarts=self._run.restarts)
        return execution

    async def _follow(self, execution: Execution) -> None:
        """Listen to a trainer until it is gone. One that outlives a shutdown is left to work, and found again."""
        deadline: float | None = None
        while execution.alive():
            await self._listen()
            if deadline is None and (self._run.finished or self._told_to_stop.is_set()):
                deadline = time.monotonic() + self._settings.stop_grace_seconds
                if not self._run.finished:
                    execution.stop()
            elif deadline is not None and time.monotonic() > deadline:
                if self._shutting_down:
                    return
                execution.kill()
            await asyncio.sleep(POLL_SECONDS)
        await self._listen()

    async def _listen(self) -> None:
        """Record all that the trainer has said so far."""
        while not self._run.finished:
            lines, offset = self._folder.read_output(self._run.offset)
            if offset == self._run.offset:
                return
            reports, files = await self._collect([report for line in lines if (report := self._parse(line))])
            failpoint("cluster.reports.read")
            await self._apply(actions.hear, reports, offset, files)
            failpoint("cluster.reports.recorded")

    def _parse(self, line: bytes) -> Report | None:
        try:
            return REPORT.validate_json(line)
        except ValidationError:
            self._log.warning("report.unreadable", line=line[:200].decode(errors="replace"))
            return None

    async def _collect(self, reports: list[Report]) -> tuple[list[Report], tuple[ClusterFile, ...]]:
        """The files that the reports say are finished; where one is not there, the run has failed instead."""
        for position, report in enumerate(reports):
            if isinstance(report, FinishedReport) and report.outcome == "completed":
                try:
                    return reports, await asyncio.to_thread(self._folder.measure, report.files)
                except OSError as error:
                    message = f"The trainer left an incomplete adapter ({error.strerror or error})."
                    failed = FailedReport(error=JobError(code="artifact_incomplete", message=message, retryable=True))
                    return [*reports[:position], failed], ()
        return reports, ()

    async def _fail(self, code: str, message: str) -> None:
        error = JobError(code=code, message=message, advice="Try the job again.", retryable=True)
        await self._change(partial(rules.fail, error=error, now=utc_now()))

    async def _change(self, rule: Callable[[Run], Run]) -> None:
        await self._apply(actions.change, rule)

    async def _apply(self, action: Callable[..., Run], *args: object) -> None:
        before = self._run.status.status
        self._run = await self._store.transact(action, self._run.id, *args)
        if self._run.status.status == before:
            return
        self._log.info("run.changed", status=self._run.status.status)
        self._callbacks.send(self._run)
        if self._run.finished:
            FINISHED.labels(self._run.status.status).inc()


def run_path(settings: Settings, run_id: str) -> Path:
    """Where a run works."""
    return settings.cluster_home.resolve() / "runs" / run_id
