"""Leases on rows: work that outlasts a transaction, done by one process at a time.

A leasable table has the columns `id`, `status`, `leased_until` and `fence`. The query that takes a row skips locked
ones, sets `leased_until` and increments `fence`. The fence is a fencing token: a write that names an old one changes
nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from brightrun.runtime.database import Connection, Pool

T = TypeVar("T")

LEASE = timedelta(seconds=30)
RENEW_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a row for a while; every write names the fence."""

    id: UUID
    fence: int


class LeaseLost(Exception):
    """Another process has taken the work over."""


async def renew(table: str, status: str, conn: Connection | Pool, lease: Lease, duration: timedelta = LEASE) -> bool:
    """Extend the lease, or end it with a duration of zero; False if it is lost or the row left `status`."""
    tag = await conn.execute(
        f"UPDATE {table} SET leased_until = now() + $4 WHERE id = $1 AND fence = $2 AND status = $3",  # noqa: S608
        lease.id, lease.fence, status, duration,
    )  # fmt: skip
    return tag == "UPDATE 1"


async def while_leased(
    work: Coroutine[Any, Any, T], renew: Callable[[], Awaitable[bool]], renew_seconds: float = RENEW_SECONDS
) -> T:
    """The result of `work`, which is cancelled when `renew` returns False. Raises LeaseLost then."""
    task = asyncio.create_task(work)
    try:
        while (await asyncio.wait([task], timeout=renew_seconds))[1]:
            if not await renew():
                raise LeaseLost
        return task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
