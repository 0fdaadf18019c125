"""Watches every live run, one by one, whatever ends this process."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from brightrun.cluster.models import Run
from brightrun.cluster.runs import actions, queries
from brightrun.cluster.runs.run_context import RunContext
from brightrun.cluster.runs.watch import Watch


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
        """Bring a run to its end, in the background."""
        watch = Watch(run, self._context)
        task = asyncio.create_task(watch.run_until_finished())
        self._watches[run.id], self._tasks[run.id] = watch, task
        task.add_done_callback(lambda _: (self._watches.pop(run.id), self._tasks.pop(run.id)))

    async def cancel(self, run_id: str) -> Run:
        """Ask a run to save and stop; a finished run stays what it is. Raises NotFound."""
        return await self._request(run_id, Watch.cancel)

    async def finish(self, run_id: str) -> Run:
        """Ask a run to train no further and deliver; a finished run stays what it is. Raises NotFound."""
        return await self._request(run_id, Watch.finish)

    async def _request(self, run_id: str, change: Callable[[Watch], Awaitable[Run]]) -> Run:
        watch = self._watches.get(run_id)
        return await change(watch) if watch else await self._context.store.read(actions.get_run, run_id)
