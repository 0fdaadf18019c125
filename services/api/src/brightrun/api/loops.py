"""What the clock starts."""

import asyncio

from brightrun.api import artifacts
from brightrun.api.clients import Clients
from brightrun.api.live import FOLLOWED, Live
from brightrun.api.queries import idempotency, removals, sessions, tries
from brightrun.api.rules.repetition import KEY_LIFETIME
from brightrun.api.rules.tries import FORGOTTEN_AFTER, KNOWN_FOR
from brightrun.runtime.database import Pool, transaction
from brightrun.runtime.kafka import KafkaClient

REMOVALS_AT_ONCE = 20


async def prune_sessions(pool: Pool) -> bool:
    """Forget sessions that have expired and attempts that count no more; False: never is there more to do at once."""
    async with transaction(pool) as conn:
        await sessions.delete_expired(conn)
        await tries.delete_forgotten(conn, FORGOTTEN_AFTER, KNOWN_FOR)
    return False


async def prune_keys(pool: Pool) -> bool:
    """Forget idempotency keys that have expired; False: there is never more to do at once."""
    async with transaction(pool) as conn:
        await idempotency.delete_keys(conn, KEY_LIFETIME)
    return False


async def follow_jobs(bus: KafkaClient, live: Live) -> bool:
    """Hear what jobs tell, for ever."""
    await bus.follow(list(FOLLOWED), live.hear)
    return False


async def end_streams(stopping: asyncio.Event, live: Live) -> bool:
    """Let the streams end once the process stops: they would hold it up."""
    await stopping.wait()
    live.end()
    return False


async def end_removals(pool: Pool, clients: Clients) -> bool:
    """Delete the data sets whose removal was decided by a process that could not do it; False when none is left."""
    waiting = await removals.list_open_removals(pool, REMOVALS_AT_ONCE)
    for user_id, dataset_id in waiting:
        await artifacts.remove_dataset(clients.artifacts, user_id, dataset_id)
        async with transaction(pool) as conn:
            await removals.mark_removed(conn, dataset_id)
    return len(waiting) == REMOVALS_AT_ONCE
