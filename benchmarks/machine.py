"""What the numbers were measured on."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("aiokafka", "asyncpg", "fastapi", "procrastinate", "psycopg", "starlette", "uvicorn")


def describe(load_before: float) -> dict[str, object]:
    """The machine, how busy it was (one-minute load averages), and the versions that matter."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_before": round(load_before, 1),
        "load_after": round(os.getloadavg()[0], 1),
        "packages": {name: version(name) for name in PACKAGES},
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
