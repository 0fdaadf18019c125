"""What it takes to bring a run to its end."""

import asyncio
from dataclasses import dataclass, field

import httpx

from brightrun.cluster import guards
from brightrun.cluster.callbacks import Callbacks
from brightrun.cluster.executor import Executor
from brightrun.cluster.generators import Generators
from brightrun.cluster.models import Room
from brightrun.cluster.run_folder import RunFolder
from brightrun.cluster.settings import Settings
from brightrun.cluster.store import Store

DOWNLOADS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Facilities:
    """Shared by all watches."""

    settings: Settings
    store: Store
    executor: Executor
    http: httpx.AsyncClient
    callbacks: Callbacks
    generators: Generators
    downloads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(DOWNLOADS_AT_ONCE))

    def folder(self, run_id: str) -> RunFolder:
        """Where a run works."""
        return RunFolder(self.settings.run_path(run_id))

    def room(self, live_runs: int) -> Room:
        """What is left of the machine."""
        return guards.measure(self.settings.run_path(""), live_runs, trains_here=not self.executor.outlasts)
