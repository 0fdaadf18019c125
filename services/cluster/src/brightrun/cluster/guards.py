"""What protects the machine from its runs: how much is left of it, and what a trainer may take."""

import os
import resource
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil
from prometheus_client import Gauge

from brightrun.cluster.models import Room

NICENESS = 5
OPEN_FILES = 65_536
FIRST_TO_DIE = 500

FREE_DISK = Gauge("brightrun_cluster_free_disk_bytes", "Free space where the runs work.")
FREE_MEMORY = Gauge("brightrun_cluster_free_memory_bytes", "Memory that trainers could still take on this machine.")


def measure(runs: Path, live_runs: int, trains_here: bool) -> Room:
    """What is left now; the nearest existing folder counts where `runs` does not exist yet."""
    place = next(folder for folder in (runs, *runs.parents) if folder.exists())
    room = Room(shutil.disk_usage(place).free, psutil.virtual_memory().available, live_runs)
    FREE_DISK.set(room.free_disk)
    FREE_MEMORY.set(room.free_memory or 0)
    return room if trains_here else Room(room.free_disk, None, live_runs)


def confine(process: psutil.Process, largest_file: int) -> None:
    """Lower a new trainer's priority, bound what it writes and opens; if memory runs out, it dies before services."""
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: OPEN_FILES,
        resource.RLIMIT_FSIZE: largest_file,
    }
    with suppress(psutil.NoSuchProcess):
        process.nice(NICENESS)
        for kind, most in limits.items():
            allowed = process.rlimit(kind)[1]
            bound = most if allowed == resource.RLIM_INFINITY else min(most, allowed)
            process.rlimit(kind, (bound, bound))
    with suppress(OSError):
        Path(f"/proc/{process.pid}/oom_score_adj").write_text(str(FIRST_TO_DIE))


def memory_of_session(leader: int) -> int:
    """The resident memory of a trainer and of its workers."""
    return sum(_memory(process) for process in _members(leader))


def _members(leader: int) -> Iterable[psutil.Process]:
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, PermissionError):
            if os.getsid(process.pid) == leader:
                yield process


def _memory(process: psutil.Process) -> int:
    with suppress(psutil.Error):
        return int(process.memory_info().rss)
    return 0
