"""The artifacts service on a slice of its own, a real store, and a cluster that can be broken."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from uuid import UUID

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from minio import Minio
from pydantic import SecretStr

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
from brightrun.cluster_client.client import ClusterClient
from brightrun.local import engines
from brightrun.local.engines import Postgres
from brightrun.runtime.database import Pool
from brightrun.runtime.http import create_app
from brightrun.runtime.tokens import issue
from tests.conftest import SECRET, SlicePool
from tests.services.artifacts.fake_cluster import KEY, FakeCluster
from tests.services.slices import serve


def environment(settings: Settings) -> dict[str, str]:
    """The settings as a process is given them."""
    values = {name: getattr(settings, name) for name in Settings.model_fields}
    return {
        f"BRIGHTRUN_{name.upper()}": value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for name, value in values.items()
        if value not in (None, ())
    }


@dataclass
class Artifacts:
    """The parts of the service under test."""

    pool: Pool
    store: ObjectStore
    cluster: ClusterClient
    settings: Settings
    url: str
    app: FastAPI

    def limit(self, **limits: int) -> None:
        """Accept smaller uploads than usual."""
        self.app.state.limits = Limits(**limits)

    async def validate(self) -> bool:
        return await validate_next(self.pool, self.store)

    async def delete_objects(self) -> None:
        """Delete everything that is due."""
        while await delete_next(self.pool, self.store):
            pass

    async def transfer(self) -> bool:
        """One try, however long the pause after the last was to be."""
        await self.pool.execute("UPDATE models SET leased_until = now() WHERE status = 'pending'")
        return await transfer_next(self.pool, self.store, self.cluster, self.settings)

    async def events(self, topic: str) -> list[bytes]:
        """What waits in the outbox for a topic."""
        rows = await self.pool.fetch("SELECT value FROM outbox WHERE topic = $1 ORDER BY id", topic)
        return [row["value"] for row in rows]


@pytest.fixture
def s3(object_store: engines.ObjectStore) -> Minio:
    """The store as its operator sees it."""
    keys = (object_store.access_key, object_store.secret_key)
    return Minio(object_store.address, *keys, secure=False, region=object_store.region)


@pytest_asyncio.fixture
async def fake_cluster() -> AsyncIterator[FakeCluster]:
    yield FakeCluster()


@pytest_asyncio.fixture
async def settings(
    postgres: Postgres, object_store: engines.ObjectStore, fake_cluster: FakeCluster
) -> AsyncIterator[Settings]:
    async with serve(fake_cluster.app) as cluster_url:
        yield Settings(
            port=0,
            database_url=SecretStr(postgres.url("artifacts")),
            kafka_bootstrap="unused",
            service_secret=SecretStr(SECRET),
            s3_endpoint=object_store.endpoint,
            s3_access_key=object_store.access_key,
            s3_secret_key=SecretStr(object_store.secret_key),
            cluster_url=cluster_url,
            cluster_key=SecretStr(KEY),
            transfer_attempts=3,
        )


@pytest_asyncio.fixture
async def artifacts(slice_pool: SlicePool, settings: Settings) -> AsyncIterator[Artifacts]:
    pool = await slice_pool("artifacts")
    store, cluster = ObjectStore(settings), ClusterClient(settings.all_clusters[0])
    await store.create_buckets(DATASETS, MODELS)
    app = create_app("artifacts", SECRET)
    app.state.pool, app.state.store, app.state.settings = pool, store, settings
    app.state.limits = Limits()
    app.state.clusters = {cluster.name: cluster}
    for routes in (datasets, report_routes, uploads, models, generation, checkpoints):
        app.include_router(routes.router)
    async with serve(app) as url:
        yield Artifacts(pool, store, cluster, settings, url, app)
    await cluster.close()
    store.close()


Ask = Callable[[UUID], httpx.AsyncClient]


@pytest.fixture
def ask(artifacts: Artifacts) -> Ask:
    """`ask(user_id)` is an HTTP client that speaks for the user."""

    def client(user_id: UUID) -> httpx.AsyncClient:
        token = issue(SECRET, "api", "artifacts", user_id)
        return httpx.AsyncClient(base_url=artifacts.url, headers={"authorization": f"Bearer {token}"}, timeout=60)

    return client
