"""Brings every live run to its end, whatever ends this process; the runs themselves are watched one by one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from brightrun.cluster import actions, queries
from brightrun.cluster.facilities import Facilities
from brightrun.cluster.models import Run
from brightrun.cluster.watch import Watch


class Supervisor:
    """One task for each live run. Whatever ends this process, the next one goes on where it was."""

    def __init__(self, facilities: Facilities) -> None:
        self._facilities = facilities
        self._store = facilities.store
        self._watches: dict[str, Watch] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Go on with the runs of an earlier life; at the end let all trainers save and stop, to be resumed later.

        Trainers that outlast this service are left to work.
        """
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
        watch = Watch(run, self._facilities)
        task = asyncio.create_task(watch.run_to_its_end())
        self._watches[run.id], self._tasks[run.id] = watch, task
        task.add_done_callback(lambda _: (self._watches.pop(run.id), self._tasks.pop(run.id)))

    async def cancel(self, run_id: str) -> Run:
        """Ask a run to save and stop; a finished run stays what it is. Raises NotFound."""
        return await self._tell(run_id, Watch.cancel)

    async def finish(self, run_id: str) -> Run:
        """Ask a run to train no further and deliver; a finished run stays what it is. Raises NotFound."""
        return await self._tell(run_id, Watch.finish)

    async def _tell(self, run_id: str, wish: Callable[[Watch], Awaitable[Run]]) -> Run:
        watch = self._watches.get(run_id)
        return await wish(watch) if watch else await self._store.read(actions.get, run_id)
