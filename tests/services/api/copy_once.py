"""A process that copies one checkpoint, for tests that kill it on the way: `copy_once.py USER JOB ATTEMPT STEP`."""

import asyncio
import sys
from uuid import UUID

from brightrun.api.checkpoints.actions import copy_checkpoint
from brightrun.api.http.clients import open_clients
from brightrun.api.jobs.actions import get_job
from brightrun.api.settings import Settings
from brightrun.runtime.database import create_pool


async def main(user: str, job: str, attempt: str, step: str) -> None:
    settings = Settings()
    pool = await create_pool(settings.database_url.get_secret_value(), 2)
    async with open_clients(settings) as clients:
        found = await get_job(pool, UUID(user), UUID(job))
        await copy_checkpoint(pool, clients, found, int(attempt), int(step), keep=settings.copy_lifetime)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
