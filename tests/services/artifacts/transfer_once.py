"""A process that moves one model's files, for tests that kill it on the way."""

import asyncio

from brightrun.artifacts.cluster import Cluster
from brightrun.artifacts.loops.transfer import transfer_next
from brightrun.artifacts.settings import Settings
from brightrun.artifacts.storage import ObjectStore
from brightrun.runtime.database import create_pool


async def main() -> None:
    settings = Settings()
    pool = await create_pool(settings.database_url.get_secret_value(), 2)
    await transfer_next(pool, ObjectStore(settings), Cluster(settings.all_clusters[0]), settings)


if __name__ == "__main__":
    asyncio.run(main())
