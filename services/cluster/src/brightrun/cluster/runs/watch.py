"""Brings one run to its end: what it needs, its trainer, the trainer's reports, and how both end."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

from prometheus_client import Counter

from brightrun.cluster.errors import NotNow, retryable
from brightrun.cluster.executors import report_parser
from brightrun.cluster.executors.executor import Execution, StartFailed, Unreachable
from brightrun.cluster.models import Run
from brightrun.cluster.runs import admission, rules
from brightrun.cluster.runs.live_run import LiveRun
from brightrun.cluster.runs.preparation import prepare
from brightrun.cluster.runs.run_context import RunContext
from brightrun.cluster.runs.shutdown import Shutdown, StopRequest
from brightrun.contracts.cluster_api import StopSignal
from brightrun.contracts.values import utc_now
from brightrun.runtime.failpoints import failpoint

T = TypeVar("T")

RETRY_SECONDS = 2.0
SECONDS_BETWEEN_MEASUREMENTS = 1.0

LAUNCHES = Counter("brightrun_cluster_launches_total", "Trainers started.", ["resumed"])
PAUSED = Counter("brightrun_cluster_launches_paused_total", "Launches that had to wait, by what was short.", ["code"])
TOO_LARGE = Counter("brightrun_cluster_trainers_too_large_total", "Trainers ended because they took too much memory.")


class Watch:
    """One run, over as many trainers as it takes."""

    def __init__(self, run: Run, context: RunContext) -> None:
        self._live = LiveRun(run, context)
        self._context = context
        self._settings = context.settings
        self._executor = context.executor
        self._shutting_down = False
        self._wake: Callable[[], None] = lambda: None

    async def stop(self, signal: StopSignal) -> Run:
        """Ask the run to save and stop, or to train no further and deliver."""
        await self._live.change({"cancel": rules.cancel, "checkpoint": rules.pause, "finish": rules.finish}[signal])
        if signal != "finish":
            self._live.stop_requested.set()
        self._wake()
        return self._live.run

    def shut_down(self) -> None:
        """Leave the run so that it can be resumed."""
        self._shutting_down = True
        self._live.stop_requested.set()
        self._wake()

    async def run_until_finished(self) -> None:
        """Failures of our own (a full disk, say) are retried: the run is not to blame."""
        while not self._done:
            try:
                await self._supervise()
            except Unreachable as error:
                if not self._shutting_down:
                    await self._lose_contact(str(error))
            except Exception:
                self._live.log.exception("run.unsupervised")
                await asyncio.sleep(RETRY_SECONDS)

    @property
    def _done(self) -> bool:
        return self._live.run.finished or self._shutting_down

    async def _supervise(self) -> None:
        live = self._live
        if live.run.cancelling:
            live.stop_requested.set()
        await prepare(live, self._context)
        while not self._done:
            execution = await self._find() or await self._launch()
            if execution:
                await self._follow(execution)
        if self._shutting_down and live.run.launched and not self._executor.outlasts:
            await live.change(rules.interrupt)

    async def _find(self) -> Execution | None:
        return await self._retry(lambda: self._executor.find(self._live.run, self._live.folder))

    async def _launch(self) -> Execution | None:
        """Start a trainer if the run shall have one; recorded first, so that a crash in between counts as a restart."""
        live = self._live
        resume = live.run.launched or live.run.adopts is not None
        await self._read_reports()
        await self._wait_for_resources()
        if self._done:
            return None
        await live.change(
            lambda run: rules.launch(run, utc_now(), self._settings.max_restarts, queues=self._executor.queues)
        )
        if live.run.finished:
            return None
        failpoint("cluster.launch.recorded")
        await asyncio.to_thread(self._clean_folder)
        try:
            execution = await self._retry(lambda: self._executor.start(live.run, live.folder, resume))
        except StartFailed as error:
            await live.fail(retryable("trainer_unstartable", f"The trainer could not be started ({error})."))
            return None
        LAUNCHES.labels(resume).inc()
        live.log.info("trainer.started", resume=resume, launch=live.run.launches, restarts=live.run.restarts)
        return execution

    def _clean_folder(self) -> None:
        run, folder = self._live.run, self._live.folder
        folder.drop_torn_line(run.offset)
        folder.request_stop(run.launches, "finish" if run.finishing else None)

    async def _retry(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Its result, retried while it is unreachable; raises Unreachable after the deadline, or on a stop."""
        deadline = self._deadline()
        while True:
            try:
                return await ask()
            except Unreachable:
                if self._live.stop_requested.is_set() or time.monotonic() > deadline:
                    raise
                await self._pause()

    def _deadline(self) -> float:
        return time.monotonic() + self._settings.patience_seconds

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._live.stop_requested.wait(), RETRY_SECONDS)

    async def _wait_for_resources(self) -> None:
        """Start no trainer on a machine that is short of something; a run that has waited too long fails."""
        live = self._live
        deadline = self._deadline()
        noted = False
        while not (live.run.finished or live.stop_requested.is_set()) and (shortage := self._shortage()):
            if not noted:
                PAUSED.labels(shortage.code).inc()
                await live.change(partial(rules.wait_for_resources, reason=shortage.message))
                noted = True
            if time.monotonic() > deadline:
                await live.fail(retryable(shortage.code, shortage.message))
            await self._pause()

    def _shortage(self) -> NotNow | None:
        return admission.shortage(self._context.free_resources(), self._settings.limits())

    async def _follow(self, execution: Execution) -> None:
        """Read a trainer's reports until it is gone. One that outlives a shutdown is left to work, and found again."""
        shutdown = Shutdown(self._settings.finish_grace_seconds, self._settings.stop_grace_seconds)
        measure_at = time.monotonic()
        self._wake = execution.wake
        while await execution.is_alive():
            await self._read_reports()
            if self._shutting_down and self._executor.outlasts:
                return
            now = time.monotonic()
            if now > measure_at:
                await self._check_memory(execution)
                measure_at = now + SECONDS_BETWEEN_MEASUREMENTS
            signal = shutdown.next_signal(self._stop_request(), now)
            if signal == "kill" and self._shutting_down:
                return
            if signal:
                await {"finish": execution.finish, "stop": execution.stop, "kill": execution.kill}[signal]()
            await execution.wait_for_output()
        await self._read_reports()
        run = self._live.run
        if not (run.finished or run.interrupted or self._live.stop_requested.is_set()):
            error = await execution.exit_error()
            if error:
                await asyncio.to_thread(self._live.folder.append_log, error.message)
            await self._live.change(partial(rules.lose_trainer, error=error))

    def _stop_request(self) -> StopRequest | None:
        if self._live.run.finished:
            return "exit"
        if self._live.stop_requested.is_set():
            return "stop"
        return "finish" if self._live.run.finishing else None

    async def _check_memory(self, execution: Execution) -> None:
        limit = self._settings.run_memory_bytes
        if limit is None or self._live.run.finished or (used := await execution.memory_bytes()) <= limit:
            return
        TOO_LARGE.inc()
        await execution.kill()
        await self._live.change(partial(rules.exceed_memory, used=used, limit=limit, now=utc_now()))

    async def _read_reports(self) -> None:
        """Record all that the trainer has reported so far."""
        live = self._live
        while not live.run.finished:
            reports, offset = await self._executor.read_reports(live.folder, live.run.offset)
            if offset == live.run.offset:
                return
            failpoint("cluster.reports.read")
            await live.record(report_parser.merge(reports), offset)
            failpoint("cluster.reports.recorded")

    async def _lose_contact(self, reason: str) -> None:
        """End the run; a trainer that still works may see the request in the folder."""
        await asyncio.to_thread(self._live.folder.request_stop, self._live.run.launches, "checkpoint")
        await self._live.change(partial(rules.lose_contact, reason=reason, now=utc_now()))
