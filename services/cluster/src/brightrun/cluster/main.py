"""The cluster service as a process."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI

from brightrun.cluster import routes
from brightrun.cluster.callbacks import Callbacks
from brightrun.cluster.errors import StartupError
from brightrun.cluster.executor import Executor
from brightrun.cluster.facilities import Facilities
from brightrun.cluster.generators import Generators
from brightrun.cluster.housekeeping import SECONDS_BETWEEN_ROUNDS, keep_house
from brightrun.cluster.local import LocalExecutor
from brightrun.cluster.ray import RayExecutor
from brightrun.cluster.routes.parameters import Cluster
from brightrun.cluster.settings import Settings
from brightrun.cluster.simulated import SimulatedExecutor
from brightrun.cluster.store import Store, open_store
from brightrun.cluster.supervisor import Supervisor
from brightrun.runtime import logs
from brightrun.runtime.http import create_app
from brightrun.runtime.loops import repeat
from brightrun.runtime.server import run, serve_http


async def start(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises StartupError."""
    logs.configure("cluster", settings.log_level)
    async with open_store(settings.cluster_home) as store, httpx.AsyncClient() as http:
        callbacks = Callbacks(http, settings.callback_secret.get_secret_value())
        generators = Generators(settings)
        facilities = Facilities(settings, store, _executor(settings, http), http, callbacks, generators)
        supervisor = Supervisor(facilities)

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            release = asyncio.create_task(_release_readers(store, app.state.stopping))
            async with supervisor.working():
                work = repeat("housekeeping", lambda: keep_house(facilities), asyncio.Event(), SECONDS_BETWEEN_ROUNDS)
                housekeeping = asyncio.create_task(work)
                yield
                housekeeping.cancel()
            await generators.close()
            await callbacks.close()
            release.cancel()

        app = create_app("cluster", lifespan=lifespan)
        app.state.cluster = Cluster(facilities, supervisor)
        app.include_router(routes.router)
        app.include_router(routes.open_router)
        await serve_http(app, settings)


def _executor(settings: Settings, http: httpx.AsyncClient) -> Executor:
    match settings.executor:
        case "local":
            return LocalExecutor(settings)
        case "ray":
            return RayExecutor(settings, http)
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
