"""A cluster that takes every job at once, writes down when, and reports nothing more."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from benchmarks.ledger import Ledger
from brightrun.contracts.cluster_api import Capabilities, Capacity, RunEvents, SubmittedRun
from brightrun.contracts.values import Value

PLENTY = 1_000_000


@asynccontextmanager
async def serving(ledger: Ledger, port: int) -> AsyncIterator[None]:
    """The cluster on a port of 127.0.0.1, in this process, inside the block."""
    closing = asyncio.Event()

    async def submit(request: Request) -> Response:
        received = time.monotonic()
        job_id = (await request.json())["job_id"]
        ledger.record(job_id, received)
        return _json(SubmittedRun(external_job_id=f"run-{job_id}", status="queued"), 201)

    async def events(request: Request) -> Response:
        with suppress(TimeoutError):
            await asyncio.wait_for(closing.wait(), float(request.query_params["wait"]))
        return _json(RunEvents(events=(), cursor=int(request.query_params["after"])))

    async def capabilities(_: Request) -> Response:
        return _json(
            Capabilities(
                name="stub", version="1", executor="stub", gpu_types=("CPU",),
                idempotent_submit=True, events=True, capacity=True,
            )
        )  # fmt: skip

    async def capacity(_: Request) -> Response:
        return _json(Capacity(total_gpus=PLENTY, free_gpus=PLENTY))

    routes = [
        Route("/training/submit", submit, methods=["POST"]),
        Route("/training/events", events),
        Route("/training/capabilities", capabilities),
        Route("/training/capacity", capacity),
    ]
    config = uvicorn.Config(
        Starlette(routes=routes), port=port, log_config=None, lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    try:
        yield
    finally:
        closing.set()
        server.should_exit = True
        await task


def _json(body: Value, status: int = 200) -> Response:
    return JSONResponse(body.model_dump(mode="json"), status)
