"""A real Ray cluster of one machine that can be killed and started again, with two simulated GPUs."""

import itertools
import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

REPOSITORY = Path(__file__).parents[3]
RAY = REPOSITORY / ".ray-venv" / "bin" / "ray"
SECONDS_TO_START = 120
SECONDS_TO_DIE = 20
WORKER_PORTS = 20
FIXED_PORTS = (
    "--port",
    "--dashboard-port",
    "--node-manager-port",
    "--object-manager-port",
    "--ray-client-server-port",
    "--dashboard-agent-listen-port",
    "--dashboard-agent-grpc-port",
    "--runtime-env-agent-port",
    "--metrics-export-port",
)


class RayCluster:
    """The head node, which is the only one. A restarted head remembers no job, as one without a Redis does."""

    def __init__(self) -> None:
        if not RAY.exists():
            pytest.fail(f"Ray is missing ({RAY}): run `make .ray-venv/installed.txt`", pytrace=False)
        self._folder = Path(tempfile.mkdtemp(prefix="br-ray-", dir="/tmp"))  # paths of sockets must be short
        self._first_port = _free_block(len(FIXED_PORTS) + WORKER_PORTS)
        self.url = f"http://127.0.0.1:{self._first_port + 1}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def works(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the head unless it works, and wait until it takes jobs."""
        if self.works:
            return
        ports = [part for offset, name in enumerate(FIXED_PORTS) for part in (name, str(self._first_port + offset))]
        workers = self._first_port + len(FIXED_PORTS)
        ports += ["--min-worker-port", str(workers), "--max-worker-port", str(workers + WORKER_PORTS - 1)]
        options = {
            "--node-ip-address": "127.0.0.1",
            "--num-cpus": "4",
            "--num-gpus": "2",
            "--resources": '{"accelerator_type:H100": 1}',
            "--object-store-memory": "100000000",
            "--temp-dir": str(self._folder / "t"),
            "--include-log-monitor": "false",
        }
        with (self._folder / "head.log").open("ab") as log:
            self._process = subprocess.Popen(
                [RAY, "start", "--head", "--block", *itertools.chain(*options.items()), *ports],
                env=_environment(),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait_until_ready()

    def kill(self) -> None:
        """End the node as a power cut would, its jobs included."""
        if self._process is None:
            return
        members = [psutil.Process(self._process.pid), *psutil.Process(self._process.pid).children(recursive=True)]
        for member in members:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        self._process.wait()
        self._process = None
        psutil.wait_procs(members, timeout=SECONDS_TO_DIE)

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def jobs(self) -> dict[str, str]:
        """The submitted jobs with their status."""
        jobs = httpx.get(f"{self.url}/api/jobs/", timeout=30).json()
        return {job["submission_id"]: job["status"] for job in jobs if job["submission_id"]}

    def stop_jobs(self) -> None:
        for name in self.jobs() if self.works else ():
            httpx.post(f"{self.url}/api/jobs/{name}/stop", timeout=30)

    def _wait_until_ready(self) -> None:
        assert self._process
        deadline = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < deadline:
            assert self._process.poll() is None, (self._folder / "head.log").read_text()[-3000:]
            with suppress(httpx.HTTPError, KeyError):
                nodes = httpx.get(f"{self.url}/api/v0/nodes", timeout=5).json()["data"]["result"]["result"]
                if nodes and httpx.get(f"{self.url}/api/jobs/", timeout=5).is_success:
                    return
            time.sleep(0.1)
        raise AssertionError((self._folder / "head.log").read_text()[-3000:])


def _environment() -> dict[str, str]:
    """Ray compiles its many modules once; the switch that forbids it makes every start slow."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH")}
    return kept | {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_memory_monitor_refresh_ms": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }


def _free_block(size: int) -> int:
    """The first of `size` free ports in a row, below those that the system hands out."""
    for first in range(20_000 + os.getpid() % 100 * 100, 32_000, size):
        if all(_is_free(port) for port in range(first, first + size)):
            return first
    raise AssertionError("no free ports for Ray")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
