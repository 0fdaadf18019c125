"""The scheduler, composed."""

from functools import partial
from pathlib import Path

from brightrun.contracts.events import CATALOGUE
from brightrun.runtime.service import open_service, run
from brightrun.runtime.tokens import Neighbour
from brightrun.scheduler import loops, routes, subscribers
from brightrun.scheduler.cluster import Cluster
from brightrun.scheduler.settings import Settings

MIGRATIONS = Path(__file__).parent / "migrations"
LARGEST_BODY = 65_536
"""Bytes; a callback has a few hundred."""


async def start(settings: Settings) -> None:
    """Serve until the process is told to stop."""
    async with open_service("scheduler", settings, MIGRATIONS, CATALOGUE, max_body_size=LARGEST_BODY) as service:
        cluster = Cluster(
            settings.cluster_name, settings.cluster_url, settings.cluster_key.get_secret_value(), settings.callbacks
        )
        artifacts = Neighbour(
            "artifacts", settings.artifacts_url, settings.service_secret.get_secret_value(), service.name
        )
        service.app.state.settings = settings
        service.app.include_router(routes.router)
        service.subscribe(subscribers.on_job_queued, subscribers.on_job_cancel_requested)
        service.every("dispatch", 1.0, partial(loops.dispatch, service.pool, cluster, artifacts), wake="queue")
        service.every("watch", 1.0, partial(loops.watch, service.pool, service.bus, cluster), wake="watch")
        service.every("cancel", 1.0, partial(loops.cancel, service.pool, cluster), wake="cancel")
        try:
            await service.run()
        finally:
            await cluster.close()
            await artifacts.close()


def main() -> None:
    """Run the service as this process."""
    run(start(Settings()))


if __name__ == "__main__":
    main()
