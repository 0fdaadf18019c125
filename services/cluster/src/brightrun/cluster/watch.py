"""Watches over one run: what it is given, its trainer, what the trainer says, and how both end."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import structlog
from prometheus_client import Counter

from brightrun.cluster import actions, admission, checkpoints, hearing, inputs, rules
from brightrun.cluster.ending import Ending, Wish
from brightrun.cluster.errors import NotNow
from brightrun.cluster.executor import Execution, Unreachable, Unstartable
from brightrun.cluster.facilities import Facilities
from brightrun.cluster.models import Run
from brightrun.cluster.patience import RETRY_SECONDS, patiently, pause
from brightrun.contracts.training import JobError
from brightrun.contracts.values import utc_now
from brightrun.runtime.failpoints import failpoint

log = structlog.get_logger()

T = TypeVar("T")

SECONDS_BETWEEN_MEASUREMENTS = 1.0

LAUNCHES = Counter("brightrun_cluster_launches_total", "Trainers started.", ["resumed"])
FINISHED = Counter("brightrun_cluster_runs_finished_total", "Runs that ended, by how they did.", ["status"])
PAUSED = Counter("brightrun_cluster_launches_paused_total", "Launches that had to wait, by what was short.", ["code"])
TOO_LARGE = Counter("brightrun_cluster_trainers_too_large_total", "Trainers ended because they took too much memory.")


class Watch:
    """One run, over as many trainers as it takes."""

    def __init__(self, run: Run, facilities: Facilities) -> None:
        self._run = run
        self._facilities = facilities
        self._folder = facilities.folder(run.id)
        self._settings = facilities.settings
        self._store = facilities.store
        self._executor = facilities.executor
        self._changing = asyncio.Lock()
        self._told_to_stop = asyncio.Event()
        self._shutting_down = False
        self._wake: Callable[[], None] = lambda: None
        self._log = log.bind(external_job_id=run.id, job_id=str(run.request.job_id), attempt=run.request.attempt)

    async def cancel(self) -> Run:
        """Save and stop."""
        await self._change(rules.cancel)
        self._told_to_stop.set()
        self._wake()
        return self._run

    async def finish(self) -> Run:
        """Train no further and deliver."""
        await self._change(rules.finish)
        self._wake()
        return self._run

    def shut_down(self) -> None:
        """Leave the run as it can be gone on with."""
        self._shutting_down = True
        self._told_to_stop.set()
        self._wake()

    async def run_to_its_end(self) -> None:
        """What goes wrong on our own side (a full disk, say) is tried again: the run is not to blame."""
        while not self._run.finished and not self._shutting_down:
            try:
                await self._supervise()
            except Unreachable as error:
                if not self._shutting_down:
                    await self._lose_touch(str(error))
            except Exception:
                self._log.exception("run.unsupervised")
                await asyncio.sleep(RETRY_SECONDS)

    async def _supervise(self) -> None:
        if self._run.cancelling:
            self._told_to_stop.set()
        await asyncio.to_thread(self._folder.prepare, self._run.request.hyperparameters.resolved())
        await self._adopt_checkpoints()
        await self._fetch_inputs()
        while not self._run.finished and not self._shutting_down:
            execution = await self._find() or await self._launch()
            if execution:
                await self._follow(execution)
        if self._shutting_down and self._run.launched and not self._executor.outlasts:
            await self._change(rules.interrupt)

    async def _adopt_checkpoints(self) -> None:
        if self._run.adopts is None or self._run.launched:
            return
        source = self._facilities.folder(self._run.adopts).checkpoints
        try:
            step = await asyncio.to_thread(checkpoints.adopt, source, self._folder.checkpoints)
        except FileNotFoundError as error:
            await self._fail("checkpoint_gone", f"The checkpoint to go on from is gone ({error.strerror or error}).")
            return
        await self._change(partial(rules.adopted, step=step))

    async def _fetch_inputs(self) -> None:
        for one in inputs.wanted(self._run.request, self._folder):
            if not (self._run.finished or self._told_to_stop.is_set() or one.target.exists()):
                await self._fetch(one)

    async def _fetch(self, one: inputs.Input) -> None:
        download = asyncio.create_task(self._download(one))
        stop = asyncio.create_task(self._told_to_stop.wait())
        await asyncio.wait((download, stop), return_when=asyncio.FIRST_COMPLETED)
        for task in (download, stop):
            task.cancel()
        try:
            await download
        except asyncio.CancelledError:
            return
        except inputs.Unfetched as why:
            await self._change(partial(rules.fail, error=one.missing(why), now=utc_now()))

    async def _download(self, one: inputs.Input) -> None:
        async with self._facilities.downloads:
            await inputs.fetch(self._facilities.http, one, self._settings.free_disk_bytes)

    async def _find(self) -> Execution | None:
        return await self._patiently(lambda: self._executor.find(self._run, self._folder))

    async def _launch(self) -> Execution | None:
        """Start a trainer if the run shall have one; recorded first, so that a crash in between counts as a restart."""
        resume = self._run.launched or self._run.adopts is not None
        await self._listen()
        await self._wait_for_room()
        if self._run.finished or self._shutting_down:
            return None
        rule = partial(rules.launch, max_restarts=self._settings.max_restarts, queues=self._executor.queues)
        await self._change(lambda run: rule(run, utc_now()))
        if self._run.finished:
            return None
        failpoint("cluster.launch.recorded")
        await asyncio.to_thread(self._make_ready)
        try:
            execution = await self._patiently(lambda: self._executor.start(self._run, self._folder, resume))
        except Unstartable as error:
            await self._fail("trainer_unstartable", f"The trainer could not be started ({error}).")
            return None
        LAUNCHES.labels(resume).inc()
        self._log.info("trainer.started", resume=resume, launch=self._run.launches, restarts=self._run.restarts)
        return execution

    def _make_ready(self) -> None:
        self._folder.drop_torn_line(self._run.offset)
        self._folder.give_order(self._run.launches, "finish" if self._run.finishing else "")

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        return await patiently(ask, self._settings.patience_seconds, self._told_to_stop)

    async def _wait_for_room(self) -> None:
        """Start no trainer on a machine that is short of something; a run that has waited too long fails."""
        deadline = time.monotonic() + self._settings.patience_seconds
        noted = False
        while not (self._run.finished or self._told_to_stop.is_set()) and (lack := self._lack()):
            if not noted:
                PAUSED.labels(lack.code).inc()
                await self._change(partial(rules.wait, reason=lack.message))
                noted = True
            if time.monotonic() > deadline:
                await self._fail(lack.code, lack.message)
            await pause(self._told_to_stop)

    def _lack(self) -> NotNow | None:
        return admission.shortage(self._facilities.room(live_runs=0), self._settings.limits())

    async def _follow(self, execution: Execution) -> None:
        """Listen to a trainer until it is gone. One that outlives a shutdown is left to work, and found again."""
        ending = Ending(self._settings.finish_grace_seconds, self._settings.stop_grace_seconds)
        measure_at = time.monotonic()
        self._wake = execution.wake
        while await execution.alive():
            await self._listen()
            if self._shutting_down and self._executor.outlasts:
                return
            now = time.monotonic()
            if self._settings.run_memory_bytes and now > measure_at and not self._run.finished:
                await self._end_if_too_large(execution, self._settings.run_memory_bytes)
                measure_at = now + SECONDS_BETWEEN_MEASUREMENTS
            order = ending.next(self._wish(), now)
            if order == "kill" and self._shutting_down:
                return
            match order:
                case "finish":
                    await execution.finish()
                case "stop":
                    await execution.stop()
                case "kill":
                    await execution.kill()
            await execution.rest()
        await self._listen()
        if not self._run.finished and (words := await execution.last_words()):
            await asyncio.to_thread(self._folder.say, words)

    def _wish(self) -> Wish | None:
        if self._run.finished:
            return "exit"
        if self._told_to_stop.is_set():
            return "stop"
        return "finish" if self._run.finishing else None

    async def _end_if_too_large(self, execution: Execution, most: int) -> None:
        taken = await execution.memory_bytes()
        if taken <= most:
            return
        TOO_LARGE.inc()
        await execution.kill()
        await self._change(partial(rules.outgrow, taken=taken, most=most, now=utc_now()))

    async def _listen(self) -> None:
        """Record all that the trainer has said so far."""
        while not self._run.finished:
            reports, offset = await self._executor.hear(self._folder, self._run.offset)
            if offset == self._run.offset:
                return
            reports, files = await hearing.collect(self._run, self._folder, hearing.merge(reports))
            failpoint("cluster.reports.read")
            await self._apply(actions.hear, reports, offset, files)
            failpoint("cluster.reports.recorded")

    async def _lose_touch(self, reason: str) -> None:
        """The run is over here; a trainer that still works may hear of it in the folder."""
        await asyncio.to_thread(self._folder.give_order, self._run.launches, "checkpoint")
        await self._change(partial(rules.lose_touch, reason=reason, now=utc_now()))

    async def _fail(self, code: str, message: str) -> None:
        error = JobError(code=code, message=message, advice="Try the job again.", retryable=True)
        await self._change(partial(rules.fail, error=error, now=utc_now()))

    async def _change(self, rule: Callable[[Run], Run]) -> None:
        await self._apply(actions.change, rule)

    async def _apply(self, action: Callable[..., Run], *args: object) -> None:
        """One change after the other, each on what the one before has left."""
        async with self._changing:
            before = self._run.status.status
            self._run = await self._store.transact(action, self._run, *args)
            if self._run.status.status == before:
                return
            self._log.info("run.changed", status=self._run.status.status)
            self._facilities.callbacks.send(self._run)
            if self._run.finished:
                FINISHED.labels(self._run.status.status).inc()
