"""A process that moves one model's files, for tests that kill it on the way."""

import asyncio

from brightrun.artifacts.models.loops import transfer_next
from brightrun.artifacts.settings import Settings
from brightrun.artifacts.storage import ObjectStore
from brightrun.cluster_client.client import ClusterClient
from brightrun.runtime.database import create_pool


async def main() -> None:
    settings = Settings()
    pool = await create_pool(settings.database_url.get_secret_value(), 2)
    await transfer_next(pool, ObjectStore(settings), ClusterClient(settings.all_clusters[0]), settings)


if __name__ == "__main__":
    asyncio.run(main())
