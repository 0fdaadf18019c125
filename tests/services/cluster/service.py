"""A cluster service with its home folder and a stand-in for the trainer, and the requests that tests send to it."""

import asyncio
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import httpx
import psutil
from prometheus_client import generate_latest

from brightrun.contracts.cluster_api import (
    Capacity,
    RunArtifacts,
    RunCheckpoint,
    RunCheckpoints,
    RunEvents,
    RunStatus,
    SubmitRun,
)
from brightrun.contracts.training import GpuConfig, TrainingSpec
from brightrun.contracts.values import new_id
from tests.services.cluster.hosts import InProcess, OwnProcess
from tests.services.cluster.platform import CALLBACK_SECRET, FakePlatform
from tests.waiting import eventually

KEY = "the-key-of-the-tests"
FAKE_TRAINER = Path(__file__).parent / "fake_trainer"


class ClusterService:
    """Can be stopped, or killed as a process of its own, and started again on the same home."""

    def __init__(self, home: Path, platform: FakePlatform) -> None:
        self.home = home
        self.log = home / "service.log"
        self.platform = platform
        self.settings: dict[str, Any] = {}
        self.host: InProcess | OwnProcess | None = None
        self.http = httpx.AsyncClient()
        self._counted_before: dict[str, float] = {}
        models = home / "models"
        (models / "tiny").mkdir(parents=True)
        (models / "tiny" / "config.json").write_text("{}")
        python = home / "trainer-python"
        python.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(FAKE_TRAINER))} exec {sys.executable} -S "$@"\n')
        python.chmod(0o755)

    async def start(self, **settings: Any) -> None:
        """Start the service in this process; settings are kept for later starts."""
        self.settings |= settings
        self._counted_before = _counters(generate_latest().decode())
        await self._connect(InProcess(self._environment()))

    async def start_process(self, environment: dict[str, str] | None = None, **settings: Any) -> None:
        """Start the service as a process of its own; settings are kept for later starts."""
        self.settings |= settings
        await self._connect(self.spawn(environment))
        self._counted_before = {}

    def spawn(self, environment: dict[str, str] | None = None) -> OwnProcess:
        return OwnProcess(self._environment() | (environment or {}), self.log)

    def kill(self) -> None:
        assert isinstance(self.host, OwnProcess)
        self.host.kill()

    async def stop(self) -> None:
        assert self.host
        await self.host.stop()

    async def close(self) -> None:
        await self.http.aclose()
        match self.host:
            case OwnProcess():
                self.host.kill()
            case InProcess(task=task):
                self.host.begin_to_stop()
                while not task.done():  # what its trainers still do does not matter
                    self._kill_trainers()
                    await asyncio.wait({task}, timeout=0.1)
        self._kill_trainers()

    def trainers(self, run_id: str = "") -> list[psutil.Process]:
        """The trainers of this service at work."""
        folder = str(self.home / "cluster" / "runs" / run_id)
        return [
            process
            for process in psutil.process_iter(["cmdline"])
            if any(part.startswith(folder) for part in process.info["cmdline"] or [])
        ]

    def folder(self, run_id: str) -> Path:
        return self.home / "cluster" / "runs" / run_id

    def release(self, run_id: str) -> None:
        """Let a trainer that holds go on; the service may not have made its folder yet."""
        self.folder(run_id).mkdir(parents=True, exist_ok=True)
        (self.folder(run_id) / "go").touch()

    def request(self, script: dict[str, Any] | None = None, **changes: Any) -> SubmitRun:
        values: dict[str, Any] = {
            "job_id": new_id(),
            "hyperparameters": TrainingSpec(),
            "gpu_config": GpuConfig(type="CPU"),
            "callback_url": f"{self.platform.url}/callback",
        }
        if "dataset_url" not in changes:
            values["dataset_url"] = self.platform.add_dataset(json.dumps(script or {}).encode())
        return SubmitRun(**values | changes)

    async def post(self, request: SubmitRun) -> httpx.Response:
        return await self.http.post(
            "/training/submit", content=request.model_dump_json(), headers={"content-type": "application/json"}
        )

    async def submit(self, script: dict[str, Any] | None = None, **changes: Any) -> str:
        response = await self.post(self.request(script, **changes))
        assert response.status_code == 201, response.text
        return str(response.json()["external_job_id"])

    async def status(self, run_id: str) -> RunStatus:
        response = await self.http.get(f"/training/status/{run_id}")
        assert response.status_code == 200, response.text
        return RunStatus.model_validate_json(response.content)

    async def cancel(self, run_id: str) -> RunStatus:
        response = await self.http.post(f"/training/cancel/{run_id}")
        assert response.status_code == 200, response.text
        return RunStatus.model_validate_json(response.content)

    async def end(self, run_id: str, mode: str) -> RunStatus:
        response = await self.http.post(f"/training/stop/{run_id}", json={"mode": mode})
        assert response.status_code == 200, response.text
        return RunStatus.model_validate_json(response.content)

    async def checkpoints(self, run_id: str) -> tuple[RunCheckpoint, ...]:
        response = await self.http.get(f"/training/checkpoints/{run_id}")
        assert response.status_code == 200, response.text
        return RunCheckpoints.model_validate_json(response.content).checkpoints

    async def capacity(self) -> Capacity:
        return Capacity.model_validate_json((await self.http.get("/training/capacity")).content)

    async def metric(self, sample: str) -> float:
        """A gauge, or what a counter has counted since this service was started."""
        text = (await self.http.get("/metrics")).text
        return _samples(text)[sample] - self._counted_before.get(sample, 0)

    async def artifacts(self, run_id: str) -> RunArtifacts:
        response = await self.http.get(f"/training/artifacts/{run_id}")
        assert response.status_code == 200, response.text
        return RunArtifacts.model_validate_json(response.content)

    async def events(self, after: int = 0, wait: float = 0, limit: int = 500) -> RunEvents:
        params = {"after": after, "wait": wait, "limit": limit}
        response = await self.http.get("/training/events", params=params)
        assert response.status_code == 200, response.text
        return RunEvents.model_validate_json(response.content)

    async def reaches(self, run_id: str, state: str, within: float = 20) -> RunStatus:
        """The run's status once it is in this state."""

        async def check() -> RunStatus | None:
            status = await self.status(run_id)
            assert status.status == state, status
            return status

        reached = await eventually(check, within)
        assert reached
        return reached

    async def reaches_step(self, run_id: str, step: int, within: float = 20) -> None:
        async def check() -> bool:
            return (await self.status(run_id)).current_step >= step

        await eventually(check, within)

    def _environment(self) -> dict[str, str]:
        settings = {
            "cluster_home": self.home / "cluster",
            "cluster_key": KEY,
            "callback_secret": CALLBACK_SECRET,
            "trainer_python": self.home / "trainer-python",
            "models": self.home / "models",
            **self.settings,
        }
        return {f"BRIGHTRUN_{name.upper()}": str(value) for name, value in settings.items() if value is not None}

    async def _connect(self, host: InProcess | OwnProcess) -> None:
        self.host = host
        self.http = httpx.AsyncClient(base_url=host.url, headers={"authorization": f"Bearer {KEY}"}, timeout=30)
        await eventually(self._ready, within=30)

    async def _ready(self) -> bool:
        assert self.host
        assert self.host.failure is None, self.host.failure
        try:
            return (await self.http.get("/ready")).is_success
        except httpx.TransportError:
            return False

    def _kill_trainers(self) -> None:
        for trainer in self.trainers():
            trainer.kill()


def _samples(text: str) -> dict[str, float]:
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def _counters(text: str) -> dict[str, float]:
    return {name: value for name, value in _samples(text).items() if name.partition("{")[0].endswith("_total")}
