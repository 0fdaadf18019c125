"""Waits with a deadline that a stop ends early."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from brightrun.cluster.executors.executor import Unreachable

T = TypeVar("T")

RETRY_SECONDS = 2.0


async def retry_unreachable(ask: Callable[[], Awaitable[T]], seconds: float, stop: asyncio.Event) -> T:
    """The result of `ask`, retried while it is unreachable. Raises Unreachable after `seconds`, or on `stop`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return await ask()
        except Unreachable:
            if stop.is_set() or time.monotonic() > deadline:
                raise
            await pause(stop)


async def pause(stop: asyncio.Event) -> None:
    """Wait two seconds, or until a stop."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), RETRY_SECONDS)
