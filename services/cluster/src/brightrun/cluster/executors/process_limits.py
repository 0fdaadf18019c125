"""What a trainer's process may take of this machine."""

import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

NICENESS = 5
MAX_OPEN_FILES = 65_536
OOM_SCORE = 500
"""Makes the kernel kill trainers before services when memory runs out."""


def confine(process: psutil.Process, max_file_bytes: int) -> None:
    """Lower a new trainer's priority, limit its files, and let it be the first to be killed when memory runs out."""
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: MAX_OPEN_FILES,
        resource.RLIMIT_FSIZE: max_file_bytes,
    }
    with suppress(psutil.NoSuchProcess):
        process.nice(NICENESS)
        for kind, limit in limits.items():
            hard_limit = process.rlimit(kind)[1]
            bound = limit if hard_limit == resource.RLIM_INFINITY else min(limit, hard_limit)
            process.rlimit(kind, (bound, bound))
    with suppress(OSError):
        Path(f"/proc/{process.pid}/oom_score_adj").write_text(str(OOM_SCORE))


def memory_of_session(leader: int) -> int:
    """The resident memory of a trainer and of its workers, in bytes."""
    return sum(_memory_of_members(leader))


def _memory_of_members(leader: int) -> Iterator[int]:
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, PermissionError, psutil.Error):
            if os.getsid(process.pid) == leader:
                yield int(process.memory_info().rss)
