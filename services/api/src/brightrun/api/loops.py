"""Periodic work."""

import asyncio
from contextlib import suppress

from brightrun.api.accounts import token_queries as tokens
from brightrun.api.accounts import user_queries as users
from brightrun.api.accounts.rules import FORGOTTEN_AFTER, KNOWN_FOR
from brightrun.api.deletions import queries as deletions
from brightrun.api.deletions.actions import execute
from brightrun.api.http.clients import ServiceClients
from brightrun.api.jobs import queries as jobs
from brightrun.api.jobs.live import FOLLOWED, Live
from brightrun.runtime.clients import PeerError
from brightrun.runtime.database import Pool, transaction
from brightrun.runtime.kafka import KafkaClient

DELETIONS_BATCH = 20


async def prune_sessions(pool: Pool) -> bool:
    """Delete expired sessions and stale login attempts; False: never more to do at once."""
    async with transaction(pool) as conn:
        await tokens.delete_expired(conn)
        await users.delete_stale_login_attempts(conn, FORGOTTEN_AFTER, KNOWN_FOR)
    return False


async def prune_keys(pool: Pool) -> bool:
    """Delete expired idempotency keys; False: never more to do at once."""
    async with transaction(pool) as conn:
        await jobs.delete_expired_keys(conn)
    return False


async def follow_jobs(kafka: KafkaClient, live: Live) -> bool:
    """Read the topics of streams, for ever."""
    await kafka.follow(list(FOLLOWED), live.on_record)
    return False


async def end_streams(stopping: asyncio.Event, live: Live) -> bool:
    """End the streams once the process stops: it waits for open responses."""
    await stopping.wait()
    live.end()
    return False


async def finish_deletions(pool: Pool, clients: ServiceClients) -> bool:
    """Delete the data sets and models whose deletion was decided but not done; True if more are pending."""
    pending = await deletions.list_pending_deletions(pool, DELETIONS_BATCH)
    for kind, user_id, object_id in pending:
        with suppress(PeerError):
            await execute(pool, clients, kind, user_id, object_id)
    return len(pending) == DELETIONS_BATCH
