"""The HTTP server and the event loop of a process."""

import signal
import socket
from collections.abc import Coroutine
from typing import Any, cast

import uvicorn
import uvloop
from fastapi import FastAPI

from brightrun.runtime.settings import ServiceSettings

STOP_SECONDS = 10


class _Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        cast("FastAPI", self.config.app).state.stopping.set()
        await super().shutdown(sockets)


async def serve_http(app: FastAPI, settings: ServiceSettings) -> None:
    """Serve `app` until SIGTERM or SIGINT. `app.state.stopping` is set then, so that streams can end themselves."""
    config = uvicorn.Config(
        app,
        settings.host,
        settings.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=STOP_SECONDS,
        server_header=False,
        proxy_headers=False,
    )
    # uvicorn re-raises the signal after its shutdown, which would end the process before our clean-up.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    await _Server(config).serve()


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a service's `start` coroutine as this process."""
    uvloop.run(main)
