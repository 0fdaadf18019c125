"""The artifacts service: data sets in, models out."""

from datetime import timedelta
from functools import partial
from pathlib import Path

from brightrun.artifacts import subscribers
from brightrun.artifacts.datasets import report_routes
from brightrun.artifacts.datasets import routes as datasets
from brightrun.artifacts.datasets.loops import validate_next
from brightrun.artifacts.deletions.loops import delete_next
from brightrun.artifacts.keys import DATASETS, MODELS, Limits
from brightrun.artifacts.models import checkpoints, generation
from brightrun.artifacts.models import routes as models
from brightrun.artifacts.models.loops import transfer_next
from brightrun.artifacts.settings import Settings
from brightrun.artifacts.storage import ObjectStore
from brightrun.artifacts.uploads import routes as uploads
from brightrun.artifacts.uploads.loops import expire_uploads
from brightrun.artifacts.verification.loops import verify_next
from brightrun.cluster_client.client import ClusterClient
from brightrun.contracts.events import CATALOGUE
from brightrun.runtime.server import run
from brightrun.runtime.service import open_service

MIGRATIONS = Path(__file__).parent / "migrations"
POLL_SECONDS = 2.0
TRANSFERS_AT_ONCE = 2
"""From each cluster; the first is for models alone, so that copies of large checkpoints hold up no job."""
VALIDATIONS_AT_ONCE = 2
"""Of different users."""


async def start(settings: Settings) -> None:
    """Compose the service and serve until it is told to stop."""
    async with open_service("artifacts", settings, MIGRATIONS, CATALOGUE) as service:
        store = ObjectStore(settings)
        clusters = [ClusterClient(cluster) for cluster in settings.all_clusters]
        await store.create_buckets(DATASETS, MODELS)
        service.app.state.store = store
        service.app.state.settings = settings
        service.app.state.limits = Limits()
        service.app.state.clusters = {cluster.name: cluster for cluster in clusters}
        for routes in (datasets, report_routes, uploads, models, generation, checkpoints):
            service.app.include_router(routes.router)
        service.subscribe(subscribers.on_job_completed, subscribers.on_job_progress)
        validate = partial(validate_next, service.pool, store)
        for lane in range(VALIDATIONS_AT_ONCE):
            service.every(f"validation.{lane}", POLL_SECONDS, validate, wake="validation", max_turn_seconds=None)
        service.every("deletions", POLL_SECONDS, partial(delete_next, service.pool, store), wake="deletions")
        service.every("uploads.expire", 60.0, partial(expire_uploads, service.pool))
        if settings.verify_hours:
            verify = partial(verify_next, service.pool, store, timedelta(hours=settings.verify_hours))
            service.every("verification", 60.0, verify, max_turn_seconds=None)
        for cluster in clusters:
            for lane in range(TRANSFERS_AT_ONCE):
                name, copies = f"transfer.{cluster.name}.{lane}", lane > 0
                transfer = partial(transfer_next, service.pool, store, cluster, settings, copies=copies)
                service.every(name, POLL_SECONDS, transfer, wake="transfer", max_turn_seconds=None)
        try:
            await service.run()
        finally:
            for cluster in clusters:
                await cluster.close()
            store.close()


def main() -> None:
    """Run the service with the settings of the environment."""
    run(start(Settings()))


if __name__ == "__main__":
    main()
