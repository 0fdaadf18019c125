"""What a training takes of its machine."""

import sys
import time

import psutil
import torch

MIB = 1 << 20
SECONDS_BETWEEN_LOOKS = 0.5


class Machine:
    """Memory of this process and the work of the GPUs that it sees."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        self._utilization: float | None = None
        self._looked = -SECONDS_BETWEEN_LOOKS

    def memory_mb(self) -> float:
        """Peak of this process's GPU so far, or its resident memory now, in MiB."""
        if self._gpus:
            return round(torch.cuda.max_memory_allocated() / MIB, 1)
        return round(float(self._process.memory_info().rss) / MIB, 1)

    def gpu_utilization(self) -> float | None:
        """Percent of the time that the GPUs worked, their mean, as NVML says; None where it says nothing."""
        now = time.monotonic()
        if self._gpus and now - self._looked >= SECONDS_BETWEEN_LOOKS:
            self._looked = now
            self._utilization = self._look()
        return self._utilization

    def _look(self) -> float | None:
        try:
            return round(sum(torch.cuda.utilization(gpu) for gpu in range(self._gpus)) / self._gpus, 1)
        except Exception as error:  # NVML and its package each fail in their own ways, and no training does for that
            print(f"the GPUs' utilization is not known: {error}", file=sys.stderr)
            self._looked = float("inf")
            return None
