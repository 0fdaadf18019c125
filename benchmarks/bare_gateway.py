"""The peers of `gateway`: the same statements behind bare Starlette, and a FastAPI that does nothing."""

import hashlib
import json
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import uvicorn
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from brightrun.contracts.values import new_id
from brightrun.runtime.database import Pool, create_pool

POOL_SIZE = 10

Statement = tuple[str, Sequence[Any]]
"""SQL with its values; with a list of them where it was sent for many at once."""


@dataclass(frozen=True)
class Script:
    """What our gateway said to PostgreSQL for one request of each kind, and what it answered."""

    who: Statement
    submit: Sequence[Statement]
    page: Sequence[Statement]
    job: Any
    jobs: Any
    job_id: UUID


@contextmanager
def serving(app: str, port: int, core: int, script: Script, database_url: str) -> Iterator[None]:
    """One of the peers in a process of its own on one core, with the server and event loop that ours has."""
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(app, port, core, script, database_url), daemon=True
    )
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join()


def _serve(app: str, port: int, core: int, script: Script, database_url: str) -> None:
    os.sched_setaffinity(0, {core})
    application = _bare(script, database_url) if app == "bare" else _empty()
    uvicorn.run(application, port=port, loop="uvloop", log_level="warning", access_log=False)


def _empty() -> FastAPI:
    app = FastAPI()

    @app.get("/api/jobs")
    @app.post("/api/jobs", status_code=201)
    async def answer() -> dict[str, bool]:
        return {"success": True}

    return app


def _bare(script: Script, database_url: str) -> Starlette:
    async def submit(request: Request) -> Response:
        pool: Pool = request.app.state.pool
        await _authenticate(pool, request, script)
        json.loads(await request.body())
        job_id = new_id()
        async with pool.acquire() as conn, conn.transaction():
            for sql, values in script.submit:
                if isinstance(values, list):
                    await conn.executemany(sql, values)
                else:
                    await conn.fetch(sql, *(job_id if value == script.job_id else value for value in values))
        return JSONResponse({"success": True, "data": script.job | {"id": str(job_id)}}, 201)

    async def page(request: Request) -> Response:
        pool: Pool = request.app.state.pool
        await _authenticate(pool, request, script)
        for sql, values in script.page:
            await pool.fetch(sql, *values)
        return JSONResponse({"success": True, "data": script.jobs})

    def lifespan(app: Starlette) -> AbstractAsyncContextManager[None]:
        return _pooled(app, database_url)

    routes = [Route("/api/jobs", submit, methods=["POST"]), Route("/api/jobs", page, methods=["GET"])]
    return Starlette(routes=routes, lifespan=lifespan)


@asynccontextmanager
async def _pooled(app: Starlette, database_url: str) -> Any:
    app.state.pool = await create_pool(database_url, POOL_SIZE)
    yield
    await app.state.pool.close()


async def _authenticate(pool: Pool, request: Request, script: Script) -> None:
    sql, _ = script.who
    token = request.headers["authorization"].removeprefix("Bearer ")
    if not await pool.fetchrow(sql, hashlib.sha256(token.encode()).digest()):
        raise RuntimeError("the peer does not know the token")
