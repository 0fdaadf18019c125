"""What every run needs to reach its end."""

import asyncio
import shutil
from dataclasses import dataclass, field

import httpx
import psutil
from prometheus_client import Gauge

from brightrun.cluster.executors.executor import Executor
from brightrun.cluster.files.run_folder import RunFolder
from brightrun.cluster.models import FreeResources
from brightrun.cluster.runs.callbacks import Callbacks
from brightrun.cluster.settings import Settings
from brightrun.cluster.store import Store

MAX_PARALLEL_DOWNLOADS = 16

FREE_DISK = Gauge("brightrun_cluster_free_disk_bytes", "Free space where the runs work.")
FREE_MEMORY = Gauge("brightrun_cluster_free_memory_bytes", "Memory that trainers could still take on this machine.")


@dataclass(frozen=True, slots=True)
class RunContext:
    """Shared by all runs of the service."""

    settings: Settings
    store: Store
    executor: Executor
    http: httpx.AsyncClient
    callbacks: Callbacks
    downloads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_PARALLEL_DOWNLOADS))

    def folder(self, run_id: str) -> RunFolder:
        return RunFolder(self.settings.run_path(run_id))

    def free_resources(self, live_runs: int = 0) -> FreeResources:
        """What is left now; until the folder of the runs exists, its nearest existing parent counts."""
        runs = self.settings.run_path("")
        disk = shutil.disk_usage(next(folder for folder in (runs, *runs.parents) if folder.exists())).free
        memory = psutil.virtual_memory().available
        FREE_DISK.set(disk)
        FREE_MEMORY.set(memory)
        return FreeResources(disk, None if self.executor.outlasts else memory, live_runs)
