"""Waits for what may come back: a place that does not answer, until a run shall stop."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from brightrun.cluster.executor import Unreachable

T = TypeVar("T")

RETRY_SECONDS = 2.0


async def patiently(ask: Callable[[], Awaitable[T]], seconds: float, stop: asyncio.Event) -> T:
    """What `ask` answers, asked again while it is unreachable. Raises Unreachable after `seconds`, or on `stop`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return await ask()
        except Unreachable:
            if stop.is_set() or time.monotonic() > deadline:
                raise
            await pause(stop)


async def pause(stop: asyncio.Event) -> None:
    """Two seconds, less if a stop comes in between."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), RETRY_SECONDS)
