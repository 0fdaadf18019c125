"""What the platform's programs take of the machine."""

from collections.abc import Mapping
from dataclasses import dataclass

import psutil

from brightrun.local.platform import Platform
from brightrun.local.program import Program


@dataclass(frozen=True)
class Usage:
    """CPU seconds since the start, and resident MiB now, of one program with all its processes."""

    cpu: float
    memory: float


def usage_of(platform: Platform) -> Mapping[str, Usage]:
    """Every program's usage, engines and services. Memory that processes share is counted for each."""
    programs = [program for wave in platform.waves for program in wave]
    return {program.name: _usage(program) for program in programs}


def _usage(program: Program) -> Usage:
    if program.pid is None:
        raise RuntimeError(f"{program.name} does not run")
    parent = psutil.Process(program.pid)
    cpu = memory = 0.0
    for process in (parent, *parent.children(recursive=True)):
        try:
            times = process.cpu_times()
            cpu += times.user + times.system
            memory += process.memory_info().rss / (1 << 20)
        except psutil.NoSuchProcess:
            continue
    return Usage(cpu, memory)
