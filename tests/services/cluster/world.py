"""The cluster service as a real process, and the world around it: data sets, callbacks, a stand-in for the trainer."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import psutil

from brightrun.contracts.cluster_api import (
    Capacity,
    RunArtifacts,
    RunCallback,
    RunCheckpoint,
    RunCheckpoints,
    RunEvents,
    RunStatus,
    SubmitRun,
)
from brightrun.contracts.signatures import SIGNATURE_HEADER, TIMESTAMP_HEADER, valid
from brightrun.contracts.training import GpuConfig, TrainingSpec
from brightrun.contracts.values import new_id
from tests.waiting import eventually

KEY = "the-key-of-the-tests"
CALLBACK_SECRET = "the-callback-secret-of-the-tests"
FAKE_TRAINER = Path(__file__).parent / "fake_trainer"


class Outside:
    """Serves data sets and takes callbacks. A data set without content is never answered until `close`."""

    def __init__(self) -> None:
        self.datasets: dict[str, bytes | None] = {}
        self.callbacks: list[RunCallback] = []
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def add_dataset(self, content: bytes | None) -> str:
        name = new_id().hex
        self.datasets[f"/{name}"] = content
        return f"{self.url}/{name}?signature=a-secret-signature"

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outside = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = outside.datasets.get(self.path.partition("?")[0], b"")
                if content is None:
                    outside._closing.wait()
                self.send_response(200 if content else 404)
                self.send_header("content-length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write(content or b"")

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                assert valid(CALLBACK_SECRET, body, self.headers[TIMESTAMP_HEADER], self.headers[SIGNATURE_HEADER])
                outside.callbacks.append(RunCallback.model_validate_json(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


class World:
    """One cluster service with its home; it can be killed, stopped and started again."""

    def __init__(self, home: Path, outside: Outside) -> None:
        self.home = home
        self.outside = outside
        self.settings: dict[str, Any] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self.http = httpx.AsyncClient()
        models = home / "models"
        (models / "tiny").mkdir(parents=True)
        (models / "tiny" / "config.json").write_text("{}")
        python = home / "trainer-python"
        python.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(FAKE_TRAINER))} exec {sys.executable} "$@"\n')
        python.chmod(0o755)

    async def start(self, **settings: Any) -> None:
        """Start the service; settings given once are kept for later starts."""
        self.settings |= settings
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.process = self.spawn(port)
        headers = {"authorization": f"Bearer {KEY}"}
        self.http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30)
        await eventually(self._ready, within=30)

    def spawn(self, port: int) -> subprocess.Popen[bytes]:
        environment = {
            "PATH": os.environ["PATH"],
            "BRIGHTRUN_PORT": port,
            "BRIGHTRUN_CLUSTER_HOME": self.home / "cluster",
            "BRIGHTRUN_CLUSTER_KEY": KEY,
            "BRIGHTRUN_CALLBACK_SECRET": CALLBACK_SECRET,
            "BRIGHTRUN_TRAINER_PYTHON": self.home / "trainer-python",
            "BRIGHTRUN_MODELS": self.home / "models",
            **self.settings,
        }
        with (self.home / "service.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "brightrun.cluster.main"],
                env={name: str(value) for name, value in environment.items() if value is not None},
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """End the service as the kernel would: no clean-up."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Stop the service gracefully."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=20)

    async def close(self) -> None:
        await self.http.aclose()
        if self.process and self.process.poll() is None:
            self.kill()
        for trainer in self.trainers():
            trainer.kill()

    def trainers(self, run_id: str = "") -> list[psutil.Process]:
        """The trainers at work in this world."""
        folder = str(self.home / "cluster" / "runs" / run_id)
        return [
            process
            for process in psutil.process_iter(["cmdline"])
            if any(part.startswith(folder) for part in process.info["cmdline"] or [])
        ]

    def folder(self, run_id: str) -> Path:
        return self.home / "cluster" / "runs" / run_id

    def let_go(self, run_id: str) -> None:
        """Let a trainer that holds go on; the service may not have made its folder yet."""
        self.folder(run_id).mkdir(parents=True, exist_ok=True)
        (self.folder(run_id) / "go").touch()

    def request(self, orders: dict[str, Any] | None = None, **changes: Any) -> SubmitRun:
        values: dict[str, Any] = {
            "job_id": new_id(),
            "hyperparameters": TrainingSpec(),
            "gpu_config": GpuConfig(type="CPU"),
            "callback_url": f"{self.outside.url}/callback",
        }
        if "dataset_url" not in changes:
            values["dataset_url"] = self.outside.add_dataset(json.dumps(orders or {}).encode())
        return SubmitRun(**values | changes)

    async def post(self, request: SubmitRun) -> httpx.Response:
        return await self.http.post(
            "/training/submit", content=request.model_dump_json(), headers={"content-type": "application/json"}
        )

    async def submit(self, orders: dict[str, Any] | None = None, **changes: Any) -> str:
        answer = await self.post(self.request(orders, **changes))
        assert answer.status_code == 201, answer.text
        return str(answer.json()["external_job_id"])

    async def status(self, run_id: str) -> RunStatus:
        answer = await self.http.get(f"/training/status/{run_id}")
        assert answer.status_code == 200, answer.text
        return RunStatus.model_validate_json(answer.content)

    async def cancel(self, run_id: str) -> RunStatus:
        answer = await self.http.post(f"/training/cancel/{run_id}")
        assert answer.status_code == 200, answer.text
        return RunStatus.model_validate_json(answer.content)

    async def end(self, run_id: str, mode: str) -> RunStatus:
        answer = await self.http.post(f"/training/stop/{run_id}", json={"mode": mode})
        assert answer.status_code == 200, answer.text
        return RunStatus.model_validate_json(answer.content)

    async def checkpoints(self, run_id: str) -> tuple[RunCheckpoint, ...]:
        answer = await self.http.get(f"/training/checkpoints/{run_id}")
        assert answer.status_code == 200, answer.text
        return RunCheckpoints.model_validate_json(answer.content).checkpoints

    async def capacity(self) -> Capacity:
        return Capacity.model_validate_json((await self.http.get("/training/capacity")).content)

    async def metric(self, sample: str) -> float:
        lines = (await self.http.get("/metrics")).text.splitlines()
        return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{sample} "))

    async def artifacts(self, run_id: str) -> RunArtifacts:
        answer = await self.http.get(f"/training/artifacts/{run_id}")
        assert answer.status_code == 200, answer.text
        return RunArtifacts.model_validate_json(answer.content)

    async def events(self, after: int = 0, wait: float = 0, limit: int = 500) -> RunEvents:
        params = {"after": after, "wait": wait, "limit": limit}
        answer = await self.http.get("/training/events", params=params)
        assert answer.status_code == 200, answer.text
        return RunEvents.model_validate_json(answer.content)

    async def reaches(self, run_id: str, wanted: str, within: float = 20) -> RunStatus:
        """The run's status once it is the wanted one."""

        async def check() -> RunStatus | None:
            status = await self.status(run_id)
            assert status.status == wanted, status
            return status

        reached = await eventually(check, within)
        assert reached
        return reached

    async def reaches_step(self, run_id: str, step: int, within: float = 20) -> None:
        async def check() -> bool:
            return (await self.status(run_id)).current_step >= step

        await eventually(check, within)

    async def _ready(self) -> bool:
        assert self.process
        assert self.process.poll() is None, (self.home / "service.log").read_text()
        try:
            return (await self.http.get("/ready")).is_success
        except httpx.TransportError:
            return False
