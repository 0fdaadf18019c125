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
from brightrun.scheduler import coordination, subscribers
from brightrun.scheduler.clusters import routes as clusters_routes
from brightrun.scheduler.clusters.loops import CapacityProbe
from brightrun.scheduler.clusters.queries import add_clusters
from brightrun.scheduler.observation import routes as observation_routes
from brightrun.scheduler.observation.loops import Poller, Watcher
from brightrun.scheduler.queue import loops as queue_loops
from brightrun.scheduler.queue import routes as queue_routes
from brightrun.scheduler.reconciliation.loops import Reconciler, SilenceCheck
from brightrun.scheduler.settings import Settings
from brightrun.scheduler.stopping import loops as stopping_loops
from brightrun.scheduler.submission.artifacts import InputUrls
from brightrun.scheduler.submission.loops import Dispatcher, Submitter

MIGRATIONS = Path(__file__).parent / "migrations"
MAX_BODY_BYTES = 65_536
"""A callback has a few hundred."""

RECONCILE_SECONDS = 30.0
ROUTERS = (clusters_routes.router, observation_routes.router, queue_routes.router)


async def start(settings: Settings) -> None:
    """Serve until the process is told to stop."""
    async with open_service("scheduler", settings, MIGRATIONS, CATALOGUE, max_body_size=MAX_BODY_BYTES) as service:
        clusters = {cluster.name: ClusterClient(cluster) for cluster in settings.all_clusters}
        secret = settings.service_secret.get_secret_value()
        artifacts = ServiceClient("artifacts", settings.artifacts_url, secret, service.name)
        submitter = Submitter(clusters, InputUrls(artifacts), settings.callbacks)
        dispatcher = Dispatcher(service.pool, submitter, settings.quota_gpus, service.waker("queue"))
        scheduler = new_id()
        async with transaction(service.pool) as conn:
            await add_clusters(conn, list(clusters))
        service.app.state.settings = settings
        for router in ROUTERS:
            service.app.include_router(router)
        service.subscribe(
            subscribers.on_jobs_queued,
            subscribers.on_job_cancel_requested,
            subscribers.on_job_finish_requested,
            subscribers.on_job_pause_requested,
            subscribers.on_job_resume_requested,
        )
        service.every("dispatch", 1.0, dispatcher.work, wake="queue")
        service.every("take_over", 1.0, dispatcher.take_over)
        _add_loops(service, list(clusters), settings)
        for cluster in clusters.values():
            _add_cluster_loops(service, cluster, settings, scheduler)
        try:
            await service.run()
        finally:
            await dispatcher.idle()
            await coordination.resign(service.pool, scheduler)
            for cluster in clusters.values():
                await cluster.close()
            await artifacts.close()


def _add_loops(service: Service, clusters: list[str], settings: Settings) -> None:
    pool, max_attempts = service.pool, settings.job_attempts
    silence = SilenceCheck(pool, settings.cluster_silence, max_attempts)
    service.every("queue.count", 5.0, partial(queue_loops.count_jobs, pool))
    service.every("queue.refuse", 5.0, partial(queue_loops.refuse_impossible, pool, clusters))
    service.every("limits", 1.0, partial(stopping_loops.stop_limited_runs, pool))
    service.every("unacknowledged", 1.0, partial(stopping_loops.give_up_unacknowledged, pool, max_attempts))
    service.every("silence", 5.0, silence.work)


def _add_cluster_loops(service: Service, cluster: ClusterClient, settings: Settings, scheduler: UUID) -> None:
    name, pool, max_attempts = cluster.name, service.pool, settings.job_attempts
    probe = CapacityProbe(pool, cluster, service.waker("queue"))
    watcher = Watcher(pool, service.kafka, cluster, scheduler, max_attempts)
    poller = Poller(pool, cluster, settings.cluster_silence, max_attempts)
    stopper = stopping_loops.Stopper(pool, cluster, max_attempts)
    reconciler = Reconciler(pool, cluster, scheduler, max_attempts, stop_unknown=settings.stop_unknown_runs)
    service.every(f"capacity.{name}", 2.0, probe.work, wake="clusters")
    service.every(f"watch.{name}", 1.0, watcher.work, wake="watch")
    service.every(f"polling.{name}", 1.0, poller.work, wake="polling")
    service.every(f"stops.{name}", 1.0, stopper.work, wake="stops")
    service.every(f"reconciliation.{name}", RECONCILE_SECONDS, reconciler.work)


def main() -> None:
    """Run the service as this process."""
    run(start(Settings()))


if __name__ == "__main__":
    main()
