"""Where a cluster service runs: in the event loop of its test, or as a process of its own."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol
from unittest import mock

import uvicorn

from brightrun.cluster.main import open_app
from brightrun.cluster.settings import Settings


class Host(Protocol):
    """A running service."""

    url: str
    failure: str | None
    """Why it is not running any more."""

    async def stop(self) -> None:
        """Stop it gracefully."""


class _Server(uvicorn.Server):
    """Leaves signals to pytest."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.config.app.state.stopping.set()
        await super().shutdown(sockets)


class InProcess:
    """The real application, with its real background work, in the event loop of the test."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        with mock.patch.dict(os.environ, dict(environment) | {"BRIGHTRUN_PORT": str(port)}, clear=True):
            self._settings = Settings()
        self._server: uvicorn.Server | None = None
        self.task = asyncio.create_task(self._serve())

    @property
    def failure(self) -> str | None:
        return repr(self.task.exception()) if self.task.done() else None

    async def stop(self) -> None:
        self.begin_to_stop()
        await self.task

    def begin_to_stop(self) -> None:
        if self._server:
            self._server.should_exit = True

    async def _serve(self) -> None:
        async with open_app(self._settings) as app:
            config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=10)
            self._server = _Server(config)
            await self._server.serve([self._socket])


class OwnProcess:
    """The service as it runs in production, which can be killed."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "brightrun.cluster.main"],
                env={"PATH": os.environ["PATH"], **environment, "BRIGHTRUN_PORT": str(port)},
                stdout=output,
                stderr=output,
            )

    @property
    def failure(self) -> str | None:
        return self._log.read_text() if self.process.poll() is not None else None

    async def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(self.process.wait, timeout=20)

    def kill(self) -> None:
        """End it as the kernel would: no clean-up."""
        self.process.kill()
        self.process.wait()
