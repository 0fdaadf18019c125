"""The peer: Procrastinate's `defer` to the start of the task in a worker process."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import asyncpg
import procrastinate
import uvloop

from benchmarks.ledger import Commits, Ledger, commits_on
from brightrun.local.engines import Postgres

DATABASE = "procrastinate"
URL_VARIABLE = "PROCRASTINATE_DATABASE_URL"
START = "start"
CONCURRENCY = 10


@dataclass(frozen=True)
class Procrastinate:
    """An open Procrastinate with one worker elsewhere."""

    app: procrastinate.App
    ledger: Ledger
    commits: Commits

    async def submit(self) -> str:
        """A job with one argument."""
        key = uuid4().hex
        await self.app.configure_task(START).defer_async(key=key)
        return key

    async def submit_at_once(self, jobs: int) -> Sequence[str]:
        """Its batch: one statement."""
        keys = [uuid4().hex for _ in range(jobs)]
        arguments: list[dict[str, Any]] = [{"key": key} for key in keys]
        await self.app.configure_task(START).batch_defer_async(*arguments)
        return keys

    async def settle(self) -> None:
        """A worker is done with a job when the ledger has it."""


@asynccontextmanager
async def peer(postgres: Postgres) -> AsyncIterator[Procrastinate]:
    """Ready to be measured, in a database of its own on our server."""
    server = f"postgres:{postgres.installation.secret('postgres.superuser')}@127.0.0.1:{postgres.port}"
    url = f"postgresql://{server}/{DATABASE}"
    owner = await asyncpg.connect(f"postgresql://{server}/postgres")
    await owner.execute(f"CREATE DATABASE {DATABASE}")
    await owner.close()
    ledger = Ledger()
    app = _app(url)
    async with app.open_async(), commits_on("procrastinate_any_queue_v1", url) as commits:
        await app.schema_manager.apply_schema_async()
        async with _worker(url, ledger):
            yield Procrastinate(app, ledger, commits)


def _app(url: str) -> procrastinate.App:
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url, max_size=10))

    @app.task(name=START)
    async def start(key: str) -> None:
        moment = time.monotonic()
        print(key, moment, flush=True)

    return app


@asynccontextmanager
async def _worker(url: str, ledger: Ledger) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", f"import {__name__} as peer; peer.work()",
        cwd=Path(__file__).parents[1], env={**os.environ, URL_VARIABLE: url}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    reader = asyncio.create_task(_read(cast("asyncio.StreamReader", process.stdout), ledger))
    try:
        yield
    finally:
        process.terminate()
        await process.wait()
        await reader


async def _read(lines: asyncio.StreamReader, ledger: Ledger) -> None:
    async for line in lines:
        key, moment = line.split()
        ledger.record(key.decode(), float(moment))


def work() -> None:
    """Be the worker process, on the event loop that our services run on."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_work())


async def _work() -> None:
    app = _app(os.environ[URL_VARIABLE])
    async with app.open_async():
        await app.run_worker_async(concurrency=CONCURRENCY)
