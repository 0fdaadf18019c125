"""The scheduler, composed."""

from functools import partial
from pathlib import Path
from uuid import UUID

from brightrun.cluster_client.client import ClusterClient
from brightrun.contracts.events import CATALOGUE
from brightrun.contracts.values import new_id
from brightrun.runtime.clients import ServiceClient
from brightrun.runtime.database import transaction
from brightrun.runtime.server import run
from brightrun.runtime.service import Service, open_service
from brightrun.scheduler import routes, subscribers
from brightrun.scheduler.artifacts import InputUrls
from brightrun.scheduler.loops import stops, survey
from brightrun.scheduler.loops.dispatch import Dispatcher
from brightrun.scheduler.loops.polling import Poller
from brightrun.scheduler.loops.reconciler import Reconciler, SilenceBreaker
from brightrun.scheduler.loops.stops import Stopper
from brightrun.scheduler.loops.watch import Watcher
from brightrun.scheduler.queries import duties
from brightrun.scheduler.queries.clusters import add_clusters
from brightrun.scheduler.settings import Settings

MIGRATIONS = Path(__file__).parent / "migrations"
MAX_BODY_BYTES = 65_536
"""Bytes; a callback has a few hundred."""

RECONCILE_SECONDS = 30.0


async def start(settings: Settings) -> None:
    """Serve until the process is told to stop."""
    async with open_service("scheduler", settings, MIGRATIONS, CATALOGUE, max_body_size=MAX_BODY_BYTES) as service:
        clusters = {cluster.name: ClusterClient(cluster) for cluster in settings.all_clusters}
        secret = settings.service_secret.get_secret_value()
        artifacts = ServiceClient("artifacts", settings.artifacts_url, secret, service.name)
        wake = service.waker("queue")
        dispatcher = Dispatcher(
            service.pool, clusters, InputUrls(artifacts), settings.quota_gpus, wake, callback_url=settings.callbacks
        )
        async with transaction(service.pool) as conn:
            await add_clusters(conn, list(clusters))
        service.app.state.settings = settings
        service.app.include_router(routes.router)
        service.subscribe(dispatcher.leasing(subscribers.on_jobs_queued), then=dispatcher.submit_leased)
        service.subscribe(
            subscribers.on_job_cancel_requested, subscribers.on_job_pause_requested, subscribers.on_job_resume_requested
        )
        service.every("dispatch", 1.0, dispatcher.work, wake="queue")
        service.every("take_over", 1.0, dispatcher.take_over)
        service.every("count", 5.0, partial(survey.count, service.pool))
        service.every("refuse", 5.0, partial(survey.refuse_impossible, service.pool, list(clusters)))
        service.every("limits", 1.0, partial(stops.stop_limited, service.pool))
        service.every("unheard", 1.0, partial(stops.give_up_unheard, service.pool, settings.job_attempts))
        silence = SilenceBreaker(service.pool, settings.cluster_silence, settings.job_attempts)
        service.every("silence", 5.0, silence.work)
        me = new_id()
        for cluster in clusters.values():
            _attend(service, cluster, settings, me)
        try:
            await service.run()
        finally:
            await dispatcher.idle()
            await duties.release(service.pool, me)
            for cluster in clusters.values():
                await cluster.close()
            await artifacts.close()


def _attend(service: Service, cluster: ClusterClient, settings: Settings, me: UUID) -> None:
    """All that is asked of one cluster, and heard from it."""
    name, pool, most = cluster.name, service.pool, settings.job_attempts
    surveyor = survey.Surveyor(pool, cluster, service.waker("queue"))
    reconciler = Reconciler(pool, cluster, me, most, stop_unknown=settings.stop_unknown_runs)
    service.every(f"survey.{name}", 2.0, surveyor.work, wake="clusters")
    service.every(f"watch.{name}", 1.0, Watcher(pool, service.kafka, cluster, me, most).work, wake="watch")
    service.every(f"polling.{name}", 1.0, Poller(pool, cluster, settings.cluster_silence, most).work, wake="polling")
    service.every(f"stops.{name}", 1.0, Stopper(pool, cluster, most).work, wake="stops")
    service.every(f"reconciler.{name}", RECONCILE_SECONDS, reconciler.work)


def main() -> None:
    """Run the service as this process."""
    run(start(Settings()))


if __name__ == "__main__":
    main()
