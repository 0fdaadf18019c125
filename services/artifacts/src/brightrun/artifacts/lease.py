"""Work under a lease: renewed while it goes on, ended when another has taken it over."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any, TypeVar

T = TypeVar("T")

LEASE = timedelta(seconds=30)
RENEW_SECONDS = 10.0


class LeaseLost(Exception):
    """Another process has taken the work over."""


async def while_leased(work: Coroutine[Any, Any, T], renew: Callable[[], Awaitable[bool]]) -> T:
    """The result of `work`; it is cancelled when its lease cannot be renewed. Raises LeaseLost then."""
    task = asyncio.create_task(work)
    try:
        while not task.done():
            await asyncio.wait([task], timeout=RENEW_SECONDS)
            if not task.done() and not await renew():
                raise LeaseLost
        return task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
