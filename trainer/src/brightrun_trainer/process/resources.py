"""The memory and GPU time that a training uses."""

import sys
import time
from collections.abc import Callable

import psutil
import torch

MIB = 1 << 20
POLL_SECONDS = 0.5


class ResourceUsage:
    """Memory of this process and utilization of the `gpus` that it sees, as `utilization` (NVML's) reports them."""

    def __init__(self, gpus: int, utilization: Callable[[int], int] = torch.cuda.utilization) -> None:
        self._gpus = gpus
        self._query = utilization
        self._process = psutil.Process()
        self._utilization: float | None = None
        self._next_query = 0.0

    def memory_mb(self) -> float:
        """Peak of this process's GPU so far, or its resident memory now, in MiB."""
        if self._gpus:
            return round(torch.cuda.max_memory_allocated() / MIB, 1)
        return round(float(self._process.memory_info().rss) / MIB, 1)

    def gpu_utilization(self) -> float | None:
        """Mean percentage of the time that the GPUs worked; None where NVML reports nothing."""
        now = time.monotonic()
        if self._gpus and now >= self._next_query:
            self._next_query = now + POLL_SECONDS
            try:
                self._utilization = round(sum(map(self._query, range(self._gpus))) / self._gpus, 1)
            except Exception as error:  # NVML and its package fail in many ways, and no training fails for that
                print(f"the GPUs' utilization is not known: {error}", file=sys.stderr)
                self._utilization, self._next_query = None, float("inf")
        return self._utilization
