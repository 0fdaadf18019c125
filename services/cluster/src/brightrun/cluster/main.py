"""The cluster service as a process."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI

from brightrun.cluster import routes
from brightrun.cluster.errors import StartupError
from brightrun.cluster.executors.executor import Executor
from brightrun.cluster.executors.local import LocalExecutor
from brightrun.cluster.executors.ray import RayExecutor
from brightrun.cluster.executors.ray_head import RayHead
from brightrun.cluster.executors.simulated import SimulatedExecutor
from brightrun.cluster.generation.generators import Generators
from brightrun.cluster.retention.actions import delete_finished_runs, delete_old_events
from brightrun.cluster.runs.callbacks import Callbacks
from brightrun.cluster.runs.run_context import RunContext
from brightrun.cluster.runs.supervisor import Supervisor
from brightrun.cluster.settings import Settings
from brightrun.cluster.store import Store, open_store
from brightrun.runtime import logs
from brightrun.runtime.http import create_app
from brightrun.runtime.loops import Loop, stop
from brightrun.runtime.server import run, serve_http

SECONDS_BETWEEN_CLEANUPS = 60.0


@asynccontextmanager
async def open_app(settings: Settings) -> AsyncIterator[FastAPI]:
    """The application; its background work runs while it is served. Raises StartupError."""
    with open_store(settings.cluster_home) as store:
        async with httpx.AsyncClient() as http:
            callbacks = Callbacks(http, settings.callback_secret.get_secret_value())
            context = RunContext(settings, store, _executor(settings, http), http, callbacks)
            yield _compose(context, Supervisor(context), Generators(settings))


def _compose(context: RunContext, supervisor: Supervisor, generators: Generators) -> FastAPI:
    async def clean_up() -> bool:
        await supervisor.end_orphans()
        await delete_finished_runs(context)
        return await delete_old_events(context)

    cleanup = Loop("cleanup", clean_up, SECONDS_BETWEEN_CLEANUPS)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        release = asyncio.create_task(_release_readers(context.store, app.state.stopping))
        async with supervisor.working():
            cleanup.start()
            yield
            await stop([cleanup])
        await generators.close()
        await context.callbacks.close()
        release.cancel()

    app = create_app("cluster", lifespan=lifespan)
    app.state.context, app.state.supervisor, app.state.generators = context, supervisor, generators
    app.include_router(routes.router)
    app.include_router(routes.open_router)
    return app


async def start(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises StartupError."""
    logs.configure("cluster", settings.log_level)
    async with open_app(settings) as app:
        await serve_http(app, settings)


def _executor(settings: Settings, http: httpx.AsyncClient) -> Executor:
    match settings.executor:
        case "local":
            return LocalExecutor(settings)
        case "ray":
            return RayExecutor(settings, RayHead(http, settings))
        case "simulated":
            return SimulatedExecutor(settings.gpu_type, settings.slots, settings.simulated_steps_per_second)


async def _release_readers(store: Store, stopping: asyncio.Event) -> None:
    """Long polls would hold up a graceful stop."""
    await stopping.wait()
    store.release_readers()


def main() -> None:
    """Run the service; exits 1 with one line when it cannot start."""
    try:
        run(start(Settings()))
    except StartupError as error:
        sys.exit(f"cluster: {error}")


if __name__ == "__main__":
    main()
