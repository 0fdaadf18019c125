"""The gateway's composition root."""

from functools import partial
from pathlib import Path

from brightrun.api import app, loops
from brightrun.api.accounts.identity_provider import open_identity_provider
from brightrun.api.checkpoints.actions import delete_expired_copy
from brightrun.api.http.clients import open_clients
from brightrun.api.jobs import subscribers
from brightrun.api.jobs.live import Live
from brightrun.api.settings import Settings
from brightrun.contracts.events import CATALOGUE
from brightrun.runtime.server import run
from brightrun.runtime.service import open_service

MIGRATIONS = Path(__file__).parent / "migrations"


async def start(settings: Settings) -> None:
    """Serve the public API until told to stop."""
    metrics_token = settings.metrics_token.get_secret_value()
    async with (
        open_clients(settings) as clients,
        open_identity_provider(settings) as identity_provider,
        open_service("api", settings, MIGRATIONS, CATALOGUE, metrics_token=metrics_token, **app.ABOUT) as service,
    ):
        app.mount(service.app, settings, clients, identity_provider)
        service.subscribe(*subscribers.SUBSCRIPTIONS)
        service.every("sessions.prune", 3600.0, partial(loops.prune_sessions, service.pool))
        service.every("keys.prune", 3600.0, partial(loops.prune_keys, service.pool))
        service.every("clusters.refresh", 2.0, clients.cluster_reports.refresh)
        service.every("deletions.finish", 30.0, partial(loops.finish_deletions, service.pool, clients))
        delete_copies = partial(delete_expired_copy, service.pool, clients)
        service.every("checkpoints.expire", 60.0, delete_copies)
        live: Live = service.app.state.live
        service.every("jobs.follow", 1.0, partial(loops.follow_jobs, service.kafka, live), max_turn_seconds=None)
        end_streams = partial(loops.end_streams, service.app.state.stopping, live)
        service.every("streams.end", 1.0, end_streams, max_turn_seconds=None)
        await service.run()


def main() -> None:
    """The process's entry point."""
    run(start(Settings()))


if __name__ == "__main__":
    main()
